"""The published result against predictions."""

from pathlib import Path

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.compare.stage import compare_stage

    compare_stage(
        Path(job.input.metadata).parent,
        dict(zip(job.spec["labels"], job.input.predictions, strict=True)),
        absolute=job.spec["absolute"],
        seed=job.seed,
        record=job.record,
        output_json=job.output.json,
        output_csv=job.output.csv,
    )
