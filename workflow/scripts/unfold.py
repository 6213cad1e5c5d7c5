"""The parts of a method gathered into one complete unfolded sample."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.events.unfolded import gather

    gather(list(job.input), job.output[0], record=job.record)
