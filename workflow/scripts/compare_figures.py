"""Predictions over the measurement, with the uncertainty by source."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.records import read_record
    from truthward.records.compare import Comparison
    from truthward.report.comparison import comparison
    from truthward.report.style import save

    save(comparison(read_record(job.input[0], Comparison)), job.output[0], job.record, label=job.spec["label"])
