"""Closure and pulls of the calibration."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.records import read_record
    from truthward.records.calibrate import CalibrateSummary
    from truthward.report.inputs import closure, pulls
    from truthward.report.style import save

    summary = read_record(job.input[0], CalibrateSummary)
    save(closure(summary), job.output.closure, job.record, label=job.spec["label"])
    save(pulls(summary), job.output.pulls, job.record, label=job.spec["label"])
