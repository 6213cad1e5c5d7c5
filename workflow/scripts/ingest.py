"""ROOT files into one event table."""

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
        systematics=job.spec.get("systematics"),
        checksums=next(iter(job.input.checksums), None),
        certified=next(iter(job.input.certified), None),
        **{key: job.spec[key] for key in ("process", "normalisation", "part", "remote") if key in job.spec},
        record=job.record,
    )
