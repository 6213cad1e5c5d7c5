"""Diagnostics of an unfolding over its iterations."""

from truthward.job import Job

with Job(snakemake) as job:
    from truthward.events.unfolded import Unfolded
    from truthward.plots.results import iterations
    from truthward.plots.style import save

    save(iterations(Unfolded(job.input[0]).metadata), job.output[0], job.record)
