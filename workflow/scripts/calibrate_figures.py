"""Closure and pulls of the calibration."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.report.inputs import closure, pulls
    from truthward.report.style import save
    from truthward.run.artefact import read_json

    summary = read_json(job.input[0])
    save(closure(summary), job.output.closure, job.record, label=job.spec["label"])
    save(pulls(summary), job.output.pulls, job.record, label=job.spec["label"])
