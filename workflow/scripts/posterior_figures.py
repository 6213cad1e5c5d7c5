"""Rank histograms and TARP coverage of a method's posterior."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.report.posterior import calibration
    from truthward.report.style import save
    from truthward.run.artefact import read_json
    from truthward.study.observable import observables_from

    observables = observables_from(job.spec["observables"])
    save(
        calibration(job.wildcards.method, read_json(job.input[0]), observables),
        job.output[0],
        job.record,
        label=job.spec["label"],
    )
