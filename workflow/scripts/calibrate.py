"""The jet's response learned, judged on held-out events, and applied to simulation and data."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.calibrate.stage import calibrate
    from truthward.study.observable import observables_from

    others = zip(job.spec["alternatives"], job.input.alternatives, job.output.alternatives, strict=True)
    calibrate(
        job.spec["calibrate"],
        simulation=job.input.simulation,
        samples={
            "simulation": (job.input.simulation, job.output.simulation),
            "data": (job.input.data, job.output.data),
            **{f"alternative {name}": (source, made) for name, source, made in others},
        },
        model_out=job.output.model,
        summary_out=job.output.summary,
        observables=observables_from(job.spec["observables"]),
        seed=job.seed,
        record=job.record,
        state=job.state,
        key=job.key,
    )
