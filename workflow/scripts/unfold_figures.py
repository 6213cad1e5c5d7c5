"""Diagnostics of an unfolding over its iterations, its uncertainties by family, and correlations between bins."""

from truthward.job import Job

with Job(snakemake) as job:
    from truthward.events.binning import coarse_histogram
    from truthward.events.families import end_to_end
    from truthward.events.unfolded import Unfolded
    from truthward.observable import observables_from
    from truthward.plots.results import correlation
    from truthward.plots.style import save
    from truthward.plots.unfolding import breakdown, iterations

    unfolded = Unfolded(job.input[0])
    save(iterations(unfolded.metadata), job.output.iterations, job.record)
    observables = [o for o in observables_from(job.spec["observables"]) if o.name in unfolded.observables]
    # The bins of the published tables: a covariance from replicas bears no finer ones.
    coarse = {o.name: coarse_histogram(unfolded, o) for o in observables}
    save(breakdown(job.wildcards.method, coarse, observables), job.output.breakdown, job.record)
    bins = {name: len(h.nominal) for name, h in coarse.items()}
    data = {"method": job.wildcards.method, "covariance": end_to_end([*coarse.values()]).covariance(), "bins": bins}
    save(correlation(data, observables), job.output.correlation, job.record)
