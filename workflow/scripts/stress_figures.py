"""Significances at both levels and distances, scenario by scenario."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.report.stress import stress
    from truthward.report.style import save
    from truthward.run.artefact import read_json

    save(stress(read_json(job.input[0])), job.output[0], job.record, label=job.spec["label"])
