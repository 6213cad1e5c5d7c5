"""All methods in one table."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.validate.table import compare

    compare(
        dict(zip(job.spec["methods"], job.input.methods, strict=True)),
        surrogates=dict(zip(job.spec["models"], job.input.models, strict=True)),
        posteriors=dict(zip(job.spec["posteriors"], job.input.posteriors, strict=True)),
        output_json=job.output.json,
        output_csv=job.output.csv,
        output_md=job.output.md,
        record=job.record,
    )
