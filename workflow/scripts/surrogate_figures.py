"""Marginals of a surrogate beside its simulation."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.records import read_record
    from truthward.records.validate.surrogate import ValidatedSurrogate
    from truthward.report.models import marginals
    from truthward.report.style import save
    from truthward.study.observable import observables_from

    observables = observables_from(job.spec["observables"])
    save(
        marginals(job.wildcards.model, read_record(job.input[0], ValidatedSurrogate), observables),
        job.output[0],
        job.record,
        label=job.spec["label"],
    )
