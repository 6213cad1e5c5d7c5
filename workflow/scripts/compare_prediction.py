"""The truth level of a prediction as an event table."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.ingest.stage import ingest
    from truthward.run.files import filled
    from truthward.study.observable import observables_from
    from truthward.study.plugins import build

    ingest(
        build("events.readers", filled(job.spec["read"], job.input)),
        output=job.output[0],
        observables=observables_from(job.spec["observables"]),
        role="prediction",
        selection=job.spec["selection"],
        remote=job.spec.get("remote"),
        record=job.record,
    )
