"""Marginals of a surrogate beside its simulation."""

from truthward.job import Job

with Job(snakemake) as job:
    from truthward.artefact import read_json
    from truthward.observable import observables_from
    from truthward.plots.models import marginals
    from truthward.plots.style import save

    observables = observables_from(job.spec["observables"])
    save(
        marginals(job.wildcards.model, read_json(job.input[0]), observables),
        job.output[0],
        job.record,
        label=job.spec["label"],
    )
