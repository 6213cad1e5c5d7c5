"""The simulation with the weights of all that it may have wrong."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.events.table import EventTable
    from truthward.study.observable import observables_from
    from truthward.systematics.stage import vary

    data = job.input.get("data")
    vary(
        EventTable(job.input.simulation),
        EventTable(data) if data else None,
        job.spec["systematics"],
        dict(zip(job.spec["samples"], map(EventTable, job.input.get("alternatives", [])), strict=True)),
        output=job.output.table,
        summary_out=job.output.summary,
        observables=observables_from(job.spec["observables"]),
        features=job.spec["features"],
        seed=job.seed,
        record=job.record,
    )
