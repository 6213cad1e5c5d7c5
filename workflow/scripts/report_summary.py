"""The page that a physicist understands in a minute."""

from truthward.job import Job

with Job(snakemake) as job:
    from truthward.artefact import read_json
    from truthward.observable import observables_from
    from truthward.plots.page import summary_page
    from truthward.plots.style import save

    validated = {name: read_json(path) for name, path in zip(job.spec["methods"], job.input.methods, strict=True)}
    observables = observables_from(job.spec["observables"])
    figure = summary_page(job.spec["study"], validated, read_json(job.input.table), observables)
    save(figure, job.output[0], job.record, label=job.spec["label"])
