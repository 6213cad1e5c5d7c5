"""Closure and pulls of the calibration."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.records import read_record
    from truthward.records.calibrate import CalibrateSummary
    from truthward.report.inputs import closure, pulls
    from truthward.report.style import save
    from truthward.study.observable import observables_from

    summary = read_record(job.input[0], CalibrateSummary)
    observables = observables_from(job.spec["observables"])
    save(closure(summary, observables), job.output.closure, job.record, label=job.spec["label"])
    save(pulls(summary, observables), job.output.pulls, job.record, label=job.spec["label"])
