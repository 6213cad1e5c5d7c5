"""The surrogate sampled beyond its training statistics, and what that sample is worth."""

from truthward.job import Job

with Job(snakemake) as job:
    from truthward.amplify.stage import amplify_stage

    amplify_stage(
        job.input.model,
        job.input.simulation,
        job.spec["model"],
        **job.spec["amplify"],
        seed=job.seed,
        record=job.record,
        state=job.state,
        key=job.key,
        table_path=job.output.table,
        summary_path=job.output.summary,
    )
