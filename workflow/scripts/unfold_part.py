"""One job's share of a method's replicas."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.study.observable import observables_from
    from truthward.unfold.stage import unfold_part

    unfold_part(
        entry=job.spec["method"],
        method=job.wildcards.method,
        data=job.input.data,
        simulation=job.input.simulation,
        nominal=job.input.nominal,
        part=job.input.get("part") or None,
        observables=observables_from(job.spec["observables"]),
        families=job.spec["families"],
        kinds=job.spec["kinds"],
        job=int(job.wildcards.job),
        jobs=job.spec["jobs"],
        seed=job.seed,
        state=job.state,
        key=job.key,
        output=job.output[0],
        record=job.record,
    )
