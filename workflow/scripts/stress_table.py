"""All methods and scenarios in one table."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.validate.stress.table import summarise

    summarise(
        dict(zip(job.spec["methods"], job.input, strict=True)),
        output_json=job.output.json,
        output_csv=job.output.csv,
        output_md=job.output.md,
        record=job.record,
    )
