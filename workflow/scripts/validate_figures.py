"""Distance of a result to the truth beside its floor, with the weights of the two-sample test."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.report.results import agreement
    from truthward.report.style import save
    from truthward.run.artefact import read_json
    from truthward.study.observable import observables_from

    figure = agreement(read_json(job.input[0]), observables_from(job.spec["observables"]))
    save(figure, job.output[0], job.record, label=job.spec["label"])
