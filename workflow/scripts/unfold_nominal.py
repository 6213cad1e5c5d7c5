"""The nominal unfolding of a method, and what its replicas start from."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.study.observable import observables_from
    from truthward.unfold.stage import unfold_nominal

    unfold_nominal(
        entry=job.spec["method"],
        method=job.wildcards.method,
        data=job.input.data,
        simulation=job.input.simulation,
        observables=observables_from(job.spec["observables"]),
        families=job.spec["families"],
        kinds=job.spec["kinds"],
        seed=job.seed,
        state=job.state,
        key=job.key,
        output=job.output.part,
        trained=job.output.trained,
        record=job.record,
    )
