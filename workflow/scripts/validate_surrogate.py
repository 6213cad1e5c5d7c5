"""A surrogate against held-out simulation."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.study.observable import observables_from
    from truthward.validate.surrogate import validate_surrogate

    validate_surrogate(
        job.input.samples,
        job.input.simulation,
        observables_from(job.spec["observables"]),
        **job.spec["validate"],
        seed=job.seed,
        record=job.record,
        output=job.output[0],
        state=job.state,
    )
