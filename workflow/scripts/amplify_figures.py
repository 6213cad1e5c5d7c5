"""What a sample is worth, against its size."""

from truthward.job import Job

with Job(snakemake) as job:
    from truthward.artefact import read_json
    from truthward.plots.models import amplification
    from truthward.plots.style import save

    save(amplification(read_json(job.input[0])), job.output[0], job.record, label=job.spec["label"])
