"""One chunk of a sample drawn beyond the surrogate's training statistics."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.amplify.stage import draw_chunk

    draw_chunk(
        job.input.model,
        job.input.simulation,
        factor=job.spec["factor"],
        chunk=int(job.wildcards.chunk),
        chunks=job.spec["chunks"],
        seed=job.seed,
        record=job.record,
        output=job.output[0],
    )
