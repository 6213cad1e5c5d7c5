"""Bias, where the truth is known, and variance of a method over its iterations."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.report.progress import bias_and_variance
    from truthward.report.style import save
    from truthward.run.artefact import read_json
    from truthward.study.observable import observables_from

    figure = bias_and_variance(read_json(job.input[0]), observables_from(job.spec["observables"]))
    save(figure, job.output[0], job.record, label=job.spec["label"])
