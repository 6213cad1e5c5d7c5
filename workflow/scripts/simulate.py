"""One chunk of simulated collisions."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.simulate.stage import simulate
    from truthward.study.plugins import build

    simulate(
        build("physics.generators", job.spec["generate"]),
        path=job.output[0],
        events=job.spec["events"],
        seed=job.seed,
        sample=job.spec["sample"],
        chunk=int(job.wildcards.chunk),
        chunks=job.spec["chunks"],
        record=job.record,
    )
