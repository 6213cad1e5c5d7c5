"""Significances at both levels and distances, scenario by scenario."""

from truthward.job import Job

with Job(snakemake) as job:
    from truthward.artefact import read_json
    from truthward.plots.stress import stress
    from truthward.plots.style import save

    save(stress(read_json(job.input[0])), job.output[0], job.record, label=job.spec["label"])
