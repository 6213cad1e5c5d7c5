"""The result folded back to reco level, over the data."""

from truthward.job import Job

with Job(snakemake) as job:
    from truthward.artefact import read_json
    from truthward.observable import observables_from
    from truthward.plots.refold import refolded
    from truthward.plots.style import save

    figure = refolded(read_json(job.input[0]), observables_from(job.spec["observables"]))
    save(figure, job.output[0], job.record, label=job.spec["label"])
