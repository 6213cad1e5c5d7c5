"""A method against the truth, where it is known, the data it came from, and the prior."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.records import read_record
    from truthward.records.ingest import IngestSummary
    from truthward.records.systematics import SystematicsSummary
    from truthward.records.validate.posterior import ValidatedPosterior
    from truthward.study.observable import observables_from
    from truthward.validate.method.stage import validate_method

    flags = dict(read_record(job.input.ingest, IngestSummary)["flags"])
    if job.input.get("systematics"):
        learned = read_record(job.input.systematics, SystematicsSummary)["systematics"]
        flags |= {f"systematics.{name}": found["warnings"] for name, found in learned.items() if found["warnings"]}
    posterior = read_record(job.input.posterior, ValidatedPosterior) if job.input.get("posterior") else None
    validate_method(
        job.input.unfolded,
        simulation=job.input.simulation,
        data=job.input.data,
        closure_truth=job.input.get("closure") or None,
        observables=observables_from(job.spec["observables"]),
        **job.spec["validate"],
        seed=job.seed,
        record=job.record,
        output=job.output[0],
        state=job.state,
        posterior=posterior,
        ingest=flags,
        model=job.spec["model"],
    )
