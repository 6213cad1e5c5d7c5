"""What a sample is worth, against its size."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.records import read_record
    from truthward.records.amplify import AmplifySummary
    from truthward.report.models import amplification
    from truthward.report.style import save

    save(amplification(read_record(job.input[0], AmplifySummary)), job.output[0], job.record, label=job.spec["label"])
