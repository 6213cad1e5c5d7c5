"""The page that a physicist understands in a minute."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.records import read_record
    from truthward.records.validate.method import ValidatedMethod
    from truthward.records.validate.methods import MethodsTable
    from truthward.report.style import save
    from truthward.report.summary import summary_page
    from truthward.study.observable import observables_from

    paths = zip(job.spec["methods"], job.input.methods, strict=True)
    validated = {name: read_record(path, ValidatedMethod) for name, path in paths}
    observables = observables_from(job.spec["observables"])
    table = read_record(job.input.table, MethodsTable)
    figure = summary_page(job.spec["study"], validated, table, observables)
    save(figure, job.output[0], job.record, label=job.spec["label"])
