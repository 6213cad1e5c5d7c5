"""Distance of a result to the truth beside its floor, with the weights of the two-sample test; and over iterations."""

from truthward.job import Job

with Job(snakemake) as job:
    from truthward.artefact import read_json
    from truthward.observable import observables_from
    from truthward.plots.progress import bias_and_variance
    from truthward.plots.results import agreement
    from truthward.plots.style import save

    validated, observables = read_json(job.input[0]), observables_from(job.spec["observables"])
    save(agreement(validated, observables), job.output.agreement, job.record)
    save(bias_and_variance(validated, observables), job.output.iterations, job.record)
