"""Significances at both levels and distances, scenario by scenario."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.records import read_record
    from truthward.records.validate.stress import StressTable
    from truthward.report.stress import stress
    from truthward.report.style import save

    save(stress(read_record(job.input[0], StressTable)), job.output[0], job.record, label=job.spec["label"])
