"""The fitted parameter of all methods, and the spectra that it was fitted to."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.events.families import stated_as
    from truthward.records import read_record
    from truthward.records.validate.parameter import ValidatedParameter
    from truthward.report.parameter import fitted
    from truthward.report.style import save
    from truthward.study.observable import observables_from

    observables = {o.name: o for o in observables_from(job.spec["observables"])}
    found = [read_record(path, ValidatedParameter) for path in job.input]
    said = stated_as(dict.fromkeys(family for entry in found for family in entry["parts"]), job.spec["model"])
    save(
        fitted(found, observables[found[0]["observable"]], said=said),
        job.output[0],
        job.record,
        label=job.spec["label"],
    )
