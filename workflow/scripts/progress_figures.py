"""Bias, where the truth is known, and variance of a method over its iterations."""

from truthward.job import Job

with Job(snakemake) as job:
    from truthward.artefact import read_json
    from truthward.observable import observables_from
    from truthward.plots.progress import bias_and_variance
    from truthward.plots.style import save

    figure = bias_and_variance(read_json(job.input[0]), observables_from(job.spec["observables"]))
    save(figure, job.output[0], job.record, label=job.spec["label"])
