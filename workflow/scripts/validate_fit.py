"""A parameter of the simulation, fitted to an unfolded observable of a method."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.validate.parameter.stage import validate_fit

    validate_fit(
        job.input.unfolded,
        simulation=job.input.simulation,
        closure_truth=job.input.get("closure") or None,
        **job.spec["fit"],
        seed=job.seed,
        record=job.record,
        output=job.output[0],
    )
