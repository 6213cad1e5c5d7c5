"""A generative model of (truth, reco) trained on the simulation, and a sample of it."""

from truthward.job import Job

with Job(snakemake) as job:
    from truthward.observable import observables_from
    from truthward.surrogate import surrogate_stage
    from truthward.surrogate_options import Surrogate

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
