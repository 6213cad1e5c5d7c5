"""Distance of a result to the truth beside its floor, and the weights of the two-sample test."""

from truthward.job import Job

with Job(snakemake) as job:
    from truthward.artefact import read_json
    from truthward.config import observables_from
    from truthward.plots.results import agreement
    from truthward.plots.style import save

    save(agreement(read_json(job.input[0]), observables_from(job.spec["observables"])), job.output[0], job.record)
