"""Slices of the signal and backgrounds into one simulation."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.events.table import EventTable
    from truthward.ingest.merge import merge

    merge(
        dict(zip(job.spec["samples"], map(EventTable, job.input), strict=True)),
        output=job.output.table,
        table_out=job.output.samples,
        record=job.record,
    )
