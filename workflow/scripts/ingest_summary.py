"""Response, purity, stability, efficiency, fakes, and data over simulation, observable by observable."""

from truthward.job import Job

with Job(snakemake) as job:
    from truthward.artefact import write_json
    from truthward.events.summary import summarise
    from truthward.events.table import EventTable
    from truthward.observable import observables_from

    simulation, data = EventTable(job.input.simulation), EventTable(job.input.data)
    summary = summarise(simulation, data, observables_from(job.spec["observables"]))
    events_in = simulation.num_rows + data.num_rows
    write_json(job.output[0], summary | {"provenance": job.record.finish(events_in=events_in)})
