"""One method unfolds every stress scenario."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.study.observable import observables_from
    from truthward.validate.stress.stage import stress

    stress(
        job.spec["method"],
        method=job.wildcards.method,
        simulation=job.input.simulation,
        data=job.input.data,
        observables=observables_from(job.spec["observables"]),
        **job.spec["stress"],
        **job.spec["validate"],
        seed=job.seed,
        output=job.output[0],
        record=job.record,
    )
