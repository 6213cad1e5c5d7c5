"""Whether the samples can be unfolded as they are; what may be right and looks odd is a flag."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.events.table import EventTable
    from truthward.ingest.sanity import examine
    from truthward.records.ingest import Examined
    from truthward.run.artefact import write_json
    from truthward.study.observable import observables_from

    names, observables = job.spec["samples"], observables_from(job.spec["observables"])
    simulation, data = EventTable(job.input.simulation), EventTable(job.input.data)
    others = dict(zip(names["alternatives"], map(EventTable, job.input.alternatives), strict=True))
    samples = (names["simulation"], simulation), (names["data"], data)
    flags = examine(*samples, observables, alternatives=others, seed=job.seed, **job.spec["ingest"])
    events_in = simulation.num_rows + data.num_rows
    content: Examined = {"flags": flags, "provenance": job.record.finish(events_in=events_in)}
    write_json(job.output[0], content)
