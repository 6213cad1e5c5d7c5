"""Ranks and TARP coverage of a method's posterior."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.validate.posterior import validate_posterior

    validate_posterior(job.input[0], seed=job.seed, record=job.record, output=job.output[0])
