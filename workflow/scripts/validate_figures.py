"""Distance of a result to the truth beside its floor, with the weights of the two-sample test."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.records import read_record
    from truthward.records.validate.method import ValidatedMethod
    from truthward.report.results import agreement
    from truthward.report.style import save
    from truthward.study.observable import observables_from

    figure = agreement(read_record(job.input[0], ValidatedMethod), observables_from(job.spec["observables"]))
    save(figure, job.output[0], job.record, label=job.spec["label"])
