"""The page that a physicist understands in a minute."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.report.style import save
    from truthward.report.summary import summary_page
    from truthward.run.artefact import read_json
    from truthward.study.observable import observables_from

    validated = {name: read_json(path) for name, path in zip(job.spec["methods"], job.input.methods, strict=True)}
    observables = observables_from(job.spec["observables"])
    figure = summary_page(job.spec["study"], validated, read_json(job.input.table), observables)
    save(figure, job.output[0], job.record, label=job.spec["label"])
