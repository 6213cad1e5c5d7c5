"""The simulation with the weights that turn it into each of its alternatives."""

from truthward.job import Job

with Job(snakemake) as job:
    from truthward.events.table import EventTable
    from truthward.observable import observables_from
    from truthward.systematics import reweight

    reweight(
        EventTable(job.input.simulation),
        dict(zip(job.spec["alternatives"], map(EventTable, job.input.alternatives), strict=True)),
        output=job.output.table,
        summary_out=job.output.summary,
        observables=observables_from(job.spec["observables"]),
        seed=job.seed,
        record=job.record,
    )
