"""The published method's events with weights and replicas, and all that their use needs."""

from pathlib import Path

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.publish.explore.predictions import simulation
    from truthward.publish.stage import publish
    from truthward.publish.texts import coverage
    from truthward.records import read_record
    from truthward.records.validate.method import ValidatedMethod
    from truthward.report.tables import draw_table
    from truthward.study.observable import observables_from

    entry, validated = job.spec["publish"], read_record(job.input.validated, ValidatedMethod)
    publish(
        job.input.unfolded,
        directory=Path(job.output.metadata).parent,
        study=job.spec["study"],
        licence=entry["licence"],
        fiducial=entry["fiducial"],
        observables=observables_from(job.spec["observables"]),
        example=entry["example"],
        luminosity=entry["luminosity"],
        particle_level=entry["particle_level"],
        record=job.record,
        verdict=validated["verdict"],
        require=entry["require"],
        model=job.spec["model"],
        label=job.spec["label"],
        predictions=[simulation(validated)],
        hepdata=entry["hepdata"],
        draw=draw_table,
        coverage=coverage(
            [p for o in validated["observables"].values() for p in (o["coverage"] or {"pulls": []})["pulls"]]
        ),
    )
