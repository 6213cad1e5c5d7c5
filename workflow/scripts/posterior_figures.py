"""Rank histograms and TARP coverage of a method's posterior."""

from truthward.job import Job

with Job(snakemake) as job:
    from truthward.artefact import read_json
    from truthward.observable import observables_from
    from truthward.plots.posterior import calibration
    from truthward.plots.style import save

    observables = observables_from(job.spec["observables"])
    save(
        calibration(job.wildcards.method, read_json(job.input[0]), observables),
        job.output[0],
        job.record,
        label=job.spec["label"],
    )
