"""Detector level: data over simulation, and the response."""

from truthward.job import Job

with Job(snakemake) as job:
    from truthward.artefact import read_json
    from truthward.observable import observables_from
    from truthward.plots.inputs import data_over_simulation, response
    from truthward.plots.style import save

    summary, observables = read_json(job.input[0]), observables_from(job.spec["observables"])
    save(data_over_simulation(summary, observables), job.output.data, job.record, label=job.spec["label"])
    save(response(summary, observables), job.output.response, job.record, label=job.spec["label"])
