"""Pulls and closure of the calibration, each held to its tolerance."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.validate.calibrator import validate_calibrate

    validate_calibrate(job.input[0], output=job.output[0], record=job.record)
