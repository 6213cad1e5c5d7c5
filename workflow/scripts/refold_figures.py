"""The result folded back to reco level, over the data."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.records import read_record
    from truthward.records.validate.method import ValidatedMethod
    from truthward.report.refold import refolded
    from truthward.report.style import save
    from truthward.study.observable import observables_from

    figure = refolded(read_record(job.input[0], ValidatedMethod), observables_from(job.spec["observables"]))
    save(figure, job.output[0], job.record, label=job.spec["label"])
