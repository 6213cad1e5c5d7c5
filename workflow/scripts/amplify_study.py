"""How far beyond its training statistics the surrogate's kind of model may be sampled, on a known target."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.amplify.study import study_stage
    from truthward.study.generative_members import Uncertainty

    study_stage(
        job.spec["model"],
        uncertainty=Uncertainty(**job.spec["uncertainty"]),
        **job.spec["study"],
        seed=job.seed,
        state=job.state,
        key=job.key,
        record=job.record,
        output=job.output[0],
    )
