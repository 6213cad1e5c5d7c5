"""A generative model of (truth, reco) trained on the simulation, and a sample of it."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.study.observable import observables_from
    from truthward.surrogate.section import Surrogate
    from truthward.surrogate.stage import surrogate_stage

    training = dict(Surrogate(**job.spec["training"]))
    del training["models"]
    surrogate_stage(
        job.input.simulation,
        observables_from(job.spec["observables"]),
        job.spec["model"],
        **training,
        seed=job.seed,
        record=job.record,
        state=job.state,
        key=job.key,
        model_path=job.output.model,
        samples_path=job.output.samples,
        summary_path=job.output.summary,
    )
