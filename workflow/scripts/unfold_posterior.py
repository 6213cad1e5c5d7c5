"""Draws of a method's posterior for simulated events that it was not trained on."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.study.observable import observables_from
    from truthward.unfold.stage import unfold_posterior

    unfold_posterior(
        entry=job.spec["method"],
        method=job.wildcards.method,
        data=job.input.data,
        simulation=job.input.simulation,
        observables=observables_from(job.spec["observables"]),
        families={},
        kinds={},
        events=job.spec["events"],
        draws=99,
        seed=job.seed,
        state=job.state,
        key=job.key,
        output=job.output[0],
        record=job.record,
    )
