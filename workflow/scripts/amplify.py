"""The chunks of an amplified sample gathered, and what it is worth."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.amplify.stage import amplify_stage

    amplify_stage(
        job.input.study,
        job.input.chunks,
        job.input.simulation,
        factor=job.spec["factor"],
        record=job.record,
        table_path=job.output.table,
        summary_path=job.output.summary,
    )
