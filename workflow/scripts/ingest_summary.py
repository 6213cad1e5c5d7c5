"""Response, efficiency, fakes, and data over simulation; with the flags of the samples."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from logging import getLogger

    from truthward.events.table import EventTable
    from truthward.ingest.summary import summarise
    from truthward.records import read_record
    from truthward.records.ingest import Examined, IngestSummary
    from truthward.run.artefact import write_json
    from truthward.study.observable import observables_from

    for note in job.spec["notes"]:
        getLogger("truthward.ingest").warning(note)
    simulation, data = EventTable(job.input.simulation), EventTable(job.input.data)
    summary = summarise(simulation, data, observables_from(job.spec["observables"]))
    flags, events_in = read_record(job.input.examined, Examined)["flags"], simulation.num_rows + data.num_rows
    provenance = job.record.finish(events_in=events_in)
    content: IngestSummary = {**summary, "flags": flags, "provenance": provenance}
    write_json(job.output[0], content)
