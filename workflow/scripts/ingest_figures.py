"""Detector level: data over simulation, and the response."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.records import read_record
    from truthward.records.ingest import IngestSummary
    from truthward.report.inputs import data_over_simulation, response
    from truthward.report.style import save
    from truthward.study.observable import observables_from

    summary, observables = read_record(job.input[0], IngestSummary), observables_from(job.spec["observables"])
    save(data_over_simulation(summary, observables), job.output.data, job.record, label=job.spec["label"])
    save(response(summary, observables), job.output.response, job.record, label=job.spec["label"])
