"""Unfolding: the nominal one, then its replicas, dealt to jobs; a gathering rule checks that none is missing.

INPUTS:  results/<study>/calibrate/<sample>.parquet (ingest/ where the study does not calibrate)
OUTPUTS: results/<study>/unfold/<method>/parts/{nominal,<job>}.parquet, unfolded.parquet, figures/;
         posterior.safetensors of methods with a generative model
"""


rule unfold_all:
    input:
        expand("{results}/unfold/{method}/unfolded.parquet", results=RESULTS, method=METHODS),
        expand("{results}/unfold/{method}/figures/iterations.png", results=RESULTS, method=METHODS),


def unfold_spec(method, **more):
    """What the unfolding of a method reads of the config."""
    entry, observables = STUDY.unfold.methods[method], STUDY.unfolded_list()
    return spec(method=entry, observables=observables, families=STUDY.families(), kinds=STUDY.kinds(), **more)


rule unfold_nominal:
    input:
        simulation=events(SIMULATION),
        data=events(DATA),
        examined=EXAMINED,
    output:
        part="results/{study}/unfold/{method}/parts/nominal.parquet",
        trained="results/{study}/unfold/{method}/parts/nominal.safetensors",
    log:
        "results/{study}/logs/unfold_nominal/{method}.log",
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        spec=lambda w: unfold_spec(w.method),
        code=lambda w: code("unfold_nominal", *unfold_kinds(w.method)),
    script:
        "../workflow/scripts/unfold_nominal.py"


rule unfold_part:
    input:
        simulation=events(SIMULATION),
        data=events(DATA),
        nominal="results/{study}/unfold/{method}/parts/nominal.safetensors",
        # Of a closure test the nominal result is a part of the replica.
        part="results/{study}/unfold/{method}/parts/nominal.parquet" if "closure" in STUDY.kinds().values() else [],
    output:
        "results/{study}/unfold/{method}/parts/{job}.parquet",
    log:
        "results/{study}/logs/unfold_part/{method}.{job}.log",
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        spec=lambda w: unfold_spec(w.method, jobs=STUDY.unfold.jobs),
        code=lambda w: code("unfold_part", *unfold_kinds(w.method)),
    script:
        "../workflow/scripts/unfold_part.py"


rule unfold_posterior:
    input:
        simulation=events(SIMULATION),
        data=events(DATA),
        examined=EXAMINED,
    output:
        "results/{study}/unfold/{method}/posterior.safetensors",
    log:
        "results/{study}/logs/unfold_posterior/{method}.log",
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        spec=lambda w: spec(
            method=STUDY.unfold.methods[w.method],
            observables=STUDY.unfolded_list(),
            events=STUDY.validate_.posteriors,
        ),
        code=lambda w: code("unfold_posterior", *unfold_kinds(w.method)),
    script:
        "../workflow/scripts/unfold_posterior.py"


rule unfold:
    input:
        "results/{study}/unfold/{method}/parts/nominal.parquet",
        expand(
            "results/{{study}}/unfold/{{method}}/parts/{job}.parquet",
            job=range(STUDY.unfold.jobs if STUDY.families() else 0),
        ),
    output:
        "results/{study}/unfold/{method}/unfolded.parquet",
    log:
        "results/{study}/logs/unfold/{method}.log",
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        spec=spec(families=STUDY.families()),
        code=code("unfold"),
    script:
        "../workflow/scripts/unfold.py"


rule unfold_figures:
    input:
        "results/{study}/unfold/{method}/unfolded.parquet",
    output:
        iterations=report(
            "results/{study}/unfold/{method}/figures/iterations.png",
            caption=caption("iterations"),
            category="4 Unfold",
            labels={"method": "{method}", "figure": "iterations"},
        ),
        breakdown=report(
            "results/{study}/unfold/{method}/figures/breakdown.png",
            caption=caption("breakdown"),
            category="4 Unfold",
            labels={"method": "{method}", "figure": "uncertainties"},
        ),
        correlation=report(
            "results/{study}/unfold/{method}/figures/correlation.png",
            caption=caption("correlation"),
            category="4 Unfold",
            labels={"method": "{method}", "figure": "correlation"},
        ),
    log:
        "results/{study}/logs/unfold_figures/{method}.log",
    params:
        spec=spec(observables=STUDY.observable_list(), model=STUDY.model_families(), label=LABEL),
        code=code("unfold_figures"),
    script:
        "../workflow/scripts/unfold_figures.py"
