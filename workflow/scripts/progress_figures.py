"""Bias, where the truth is known, and variance of a method over its iterations."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.records import read_record
    from truthward.records.validate.method import ValidatedMethod
    from truthward.report.progress import bias_and_variance
    from truthward.report.style import save
    from truthward.study.observable import observables_from

    figure = bias_and_variance(read_record(job.input[0], ValidatedMethod), observables_from(job.spec["observables"]))
    save(figure, job.output[0], job.record, label=job.spec["label"])
