"""Pseudo-data: events at reco level in one table, their truth in another."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.ingest.stage import ingest
    from truthward.run.files import filled
    from truthward.study.observable import observables_from
    from truthward.study.plugins import build

    ingest(
        build("events.readers", filled(job.spec["read"], job.input.files)),
        output=job.output.table,
        closure_output=job.output.closure,
        observables=observables_from(job.spec["observables"]),
        role=job.spec["role"],
        selection=job.spec["selection"],
        checksums=next(iter(job.input.checksums), None),
        remote=job.spec.get("remote"),
        record=job.record,
    )
