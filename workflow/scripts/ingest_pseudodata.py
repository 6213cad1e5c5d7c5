"""Pseudo-data: events at reco level in one table, their truth in another."""

from truthward.job import Job

with Job(snakemake) as job:
    from truthward.events.ingest import ingest
    from truthward.observable import observables_from
    from truthward.plugins import build

    ingest(
        build("events.readers", {**job.spec["read"], "files": list(job.input.files)}),
        output=job.output.table,
        closure_output=job.output.closure,
        observables=observables_from(job.spec["observables"]),
        role=job.spec["role"],
        selection=job.spec["selection"],
        checksums=next(iter(job.input.checksums), None),
        record=job.record,
    )
