"""Distance of a result to the truth beside its floor, with the weights of the two-sample test."""

from truthward.job import Job

with Job(snakemake) as job:
    from truthward.artefact import read_json
    from truthward.observable import observables_from
    from truthward.plots.results import agreement
    from truthward.plots.style import save

    figure = agreement(read_json(job.input[0]), observables_from(job.spec["observables"]))
    save(figure, job.output[0], job.record, label=job.spec["label"])
