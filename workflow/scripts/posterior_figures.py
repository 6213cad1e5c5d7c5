"""Rank histograms and TARP coverage of a method's posterior."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.records import read_record
    from truthward.records.validate.posterior import ValidatedPosterior
    from truthward.report.posterior import calibration
    from truthward.report.style import save
    from truthward.study.observable import observables_from

    observables = observables_from(job.spec["observables"])
    save(
        calibration(job.wildcards.method, read_record(job.input[0], ValidatedPosterior), observables),
        job.output[0],
        job.record,
        label=job.spec["label"],
    )
