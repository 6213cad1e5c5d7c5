"""The truth behind the data, from files of its own."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.ingest.stage import ingest
    from truthward.run.files import filled
    from truthward.study.observable import observables_from
    from truthward.study.plugins import build

    ingest(
        build("events.readers", filled(job.spec["read"], job.input.files)),
        output=job.output.table,
        observables=observables_from(job.spec["observables"]),
        role=job.spec["role"],
        selection=job.spec["selection"],
        checksums=next(iter(job.input.checksums), None),
        remote=job.spec.get("remote"),
        record=job.record,
    )
