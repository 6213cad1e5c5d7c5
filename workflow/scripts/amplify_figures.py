"""What a sample is worth, against its size."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.report.models import amplification
    from truthward.report.style import save
    from truthward.run.artefact import read_json

    save(amplification(read_json(job.input[0])), job.output[0], job.record, label=job.spec["label"])
