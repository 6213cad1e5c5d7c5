"""Diagnostics of an unfolding over its iterations, and the correlations between bins and observables."""

from truthward.job import Job

with Job(snakemake) as job:
    from truthward.config import observables_from
    from truthward.events.families import end_to_end
    from truthward.events.unfolded import Unfolded
    from truthward.plots.results import correlation, iterations
    from truthward.plots.style import save

    unfolded = Unfolded(job.input[0])
    save(iterations(unfolded.metadata), job.output.iterations, job.record)
    observables = [o for o in observables_from(job.spec["observables"]) if o.name in unfolded.observables]
    # A tenth of the range each: a covariance from replicas bears no finer bins.
    histograms = [unfolded.histogram(o.name, o.edges[:: max(1, o.bins // 10)]) for o in observables]
    data = {
        "method": job.wildcards.method,
        "covariance": end_to_end(histograms).covariance().tolist(),
        "bins": {o.name: len(h.nominal) for o, h in zip(observables, histograms, strict=True)},
    }
    save(correlation(data, observables), job.output.correlation, job.record)
