"""Closure and pulls of the calibration."""

from truthward.job import Job

with Job(snakemake) as job:
    from truthward.artefact import read_json
    from truthward.plots.inputs import closure, pulls
    from truthward.plots.style import save

    summary = read_json(job.input[0])
    save(closure(summary), job.output.closure, job.record, label=job.spec["label"])
    save(pulls(summary), job.output.pulls, job.record, label=job.spec["label"])
