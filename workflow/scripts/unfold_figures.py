"""Diagnostics of an unfolding over its iterations, its uncertainties by family, and correlations between bins."""

from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.events.binning import published_histogram
    from truthward.events.families import end_to_end, stated_as
    from truthward.events.unfolded import Unfolded
    from truthward.report.results import correlation
    from truthward.report.style import save
    from truthward.report.unfolding import breakdown, iterations
    from truthward.study.observable import observables_from

    unfolded = Unfolded(job.input[0])
    save(iterations(unfolded.metadata), job.output.iterations, job.record, label=job.spec["label"])
    observables = [o for o in observables_from(job.spec["observables"]) if o.name in unfolded.observables]
    published = {o.name: published_histogram(unfolded, o) for o in observables}
    said = stated_as(next(iter(published.values())).parts, job.spec["model"])
    save(
        breakdown(job.wildcards.method, published, observables, said=said),
        job.output.breakdown,
        job.record,
        label=job.spec["label"],
    )
    edges = {name: h.edges for name, h in published.items()}
    data = {"method": job.wildcards.method, "covariance": end_to_end([*published.values()]).covariance()}
    data |= {"edges": edges, "said": said}
    save(correlation(data, observables), job.output.correlation, job.record, label=job.spec["label"])
