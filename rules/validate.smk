"""Every result against what is known, beside its floor. The only rules that read the closure truth.

INPUTS:  unfolded and event tables, ingest/summary.json, results/<study>/ingest/<data>.closure_truth.parquet where there is one
OUTPUTS: results/<study>/validate/<method>.json, posterior.<method>.json, fit.<method>.json, surrogate.<model>.json,
         calibrate.json, methods.{json,csv,md}, figures/
"""

FIT = STUDY.validate_.fit.model_dump(mode="json") if STUDY.validate_.fit else {}
FITTED = [
    n
    for n, entry in STUDY.unfold.methods.items()
    if FIT and FIT["observable"] in entry.get("observables", [FIT["observable"]])
]

# Methods that keep the coarse bins of each iteration: those that look at them to stop.
ITERATING = [
    n for n, entry in STUDY.unfold.methods.items() if "stop.rule" in plugins.schema("unfold", entry["kind"]).options
]


include: "stress.smk"


rule validate_all:
    input:
        f"{RESULTS}/validate/methods.csv" if METHODS else [],
        expand("{results}/validate/figures/{method}.refold.png", results=RESULTS, method=METHODS),
        expand("{results}/validate/figures/{method}.iterations.png", results=RESULTS, method=ITERATING),
        # What compares with the truth is made where it is known: no figure is an empty frame.
        expand("{results}/validate/figures/{method}.png", results=RESULTS, method=METHODS if CLOSURE else []),
        expand("{results}/validate/figures/posterior.{method}.png", results=RESULTS, method=GENERATIVE),
        expand("{results}/validate/surrogate.{model}.json", results=RESULTS, model=MODELS),
        f"{RESULTS}/validate/calibrate.json" if STUDY.calibrate else [],
        f"{RESULTS}/validate/figures/fit.png" if FITTED else [],
        rules.stress_all.input if STUDY.validate_.stress else [],


rule validate:
    input:
        unfolded="results/{study}/unfold/{method}/unfolded.parquet",
        simulation=events(SIMULATION),
        data=events(DATA),
        closure=CLOSURE,
        ingest="results/{study}/ingest/summary.json",
        systematics="results/{study}/systematics/summary.json" if LEARNED else [],
        posterior=lambda w: f"results/{w.study}/validate/posterior.{w.method}.json" if w.method in GENERATIVE else [],
    output:
        "results/{study}/validate/{method}.json",
    log:
        "results/{study}/logs/validate/{method}.log",
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        spec=spec(
            observables=STUDY.observable_list(),
            validate=STUDY.validate_.unbinned(),
            model=STUDY.model_families(),
        ),
        code=code("validate"),
    script:
        "../workflow/scripts/validate.py"


rule validate_posterior:
    input:
        "results/{study}/unfold/{method}/posterior.safetensors",
    output:
        "results/{study}/validate/posterior.{method}.json",
    log:
        "results/{study}/logs/validate_posterior/{method}.log",
    params:
        spec=spec(),
        code=code("validate_posterior"),
    script:
        "../workflow/scripts/validate_posterior.py"


rule validate_fit:
    input:
        unfolded="results/{study}/unfold/{method}/unfolded.parquet",
        simulation=events(SIMULATION),
        closure=CLOSURE,
    output:
        "results/{study}/validate/fit.{method}.json",
    log:
        "results/{study}/logs/validate_fit/{method}.log",
    params:
        spec=spec(fit=FIT),
        code=code("validate_fit"),
    script:
        "../workflow/scripts/validate_fit.py"


rule validate_surrogate:
    input:
        samples="results/{study}/surrogate/{model}/samples.parquet",
        simulation=events(SIMULATION),
    output:
        "results/{study}/validate/surrogate.{model}.json",
    log:
        "results/{study}/logs/validate_surrogate/{model}.log",
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        spec=spec(observables=STUDY.observable_list(), validate=STUDY.validate_.unbinned()),
        code=code("validate_surrogate"),
    script:
        "../workflow/scripts/validate_surrogate.py"


rule validate_calibrate:
    input:
        "results/{study}/calibrate/summary.json",
    output:
        "results/{study}/validate/calibrate.json",
    log:
        "results/{study}/logs/validate_calibrate.log",
    params:
        spec=spec(),
        code=code("validate_calibrate"),
    script:
        "../workflow/scripts/validate_calibrate.py"


rule validate_methods:
    input:
        methods=expand("results/{{study}}/validate/{method}.json", method=METHODS),
        models=expand("results/{{study}}/validate/surrogate.{model}.json", model=MODELS),
        posteriors=expand("results/{{study}}/validate/posterior.{method}.json", method=GENERATIVE),
    output:
        json="results/{study}/validate/methods.json",
        csv=report(
            "results/{study}/validate/methods.csv",
            caption=caption("methods"),
            category="5 Validate",
            labels={"method": "all", "figure": "table"},
        ),
        md="results/{study}/validate/methods.md",
    log:
        "results/{study}/logs/validate_methods.log",
    params:
        spec=spec(methods=METHODS, models=MODELS, posteriors=GENERATIVE),
        code=code("validate_methods"),
    script:
        "../workflow/scripts/validate_methods.py"


rule validate_figures:
    input:
        "results/{study}/validate/{method}.json",
    output:
        report(
            "results/{study}/validate/figures/{method}.png",
            caption=caption("validate"),
            category="5 Validate",
            labels={"method": "{method}", "figure": "distance to the truth"},
        ),
    log:
        "results/{study}/logs/validate_figures/{method}.log",
    params:
        spec=spec(observables=STUDY.observable_list(), label=LABEL),
        code=code("validate_figures"),
    script:
        "../workflow/scripts/validate_figures.py"


rule refold_figures:
    input:
        "results/{study}/validate/{method}.json",
    output:
        report(
            "results/{study}/validate/figures/{method}.refold.png",
            caption=caption("refold"),
            category="5 Validate",
            labels={"method": "{method}", "figure": "folded back, over the data"},
        ),
    log:
        "results/{study}/logs/refold_figures/{method}.log",
    params:
        spec=spec(observables=STUDY.observable_list(), label=LABEL),
        code=code("refold_figures"),
    script:
        "../workflow/scripts/refold_figures.py"


rule progress_figures:
    input:
        "results/{study}/validate/{method}.json",
    output:
        report(
            "results/{study}/validate/figures/{method}.iterations.png",
            caption=caption("bias_and_variance"),
            category="5 Validate",
            labels={"method": "{method}", "figure": "bias and variance"},
        ),
    log:
        "results/{study}/logs/progress_figures/{method}.log",
    params:
        spec=spec(observables=STUDY.observable_list(), label=LABEL),
        code=code("progress_figures"),
    script:
        "../workflow/scripts/progress_figures.py"


rule posterior_figures:
    input:
        "results/{study}/validate/posterior.{method}.json",
    output:
        report(
            "results/{study}/validate/figures/posterior.{method}.png",
            caption=caption("posterior"),
            category="5 Validate",
            labels={"method": "{method}", "figure": "posteriors"},
        ),
    log:
        "results/{study}/logs/posterior_figures/{method}.log",
    params:
        spec=spec(observables=STUDY.observable_list(), label=LABEL),
        code=code("posterior_figures"),
    script:
        "../workflow/scripts/posterior_figures.py"


rule fit_figures:
    input:
        expand("results/{{study}}/validate/fit.{method}.json", method=FITTED),
    output:
        report(
            "results/{study}/validate/figures/fit.png",
            caption=caption("fit"),
            category="5 Validate",
            labels={"method": "all", "figure": "fitted parameter"},
        ),
    log:
        "results/{study}/logs/fit_figures.log",
    params:
        spec=spec(observables=STUDY.observable_list(), model=STUDY.model_families(), label=LABEL),
        code=code("fit_figures"),
    script:
        "../workflow/scripts/fit_figures.py"


rule surrogate_figures:
    input:
        "results/{study}/validate/surrogate.{model}.json",
    output:
        report(
            "results/{study}/surrogate/{model}/figures/marginals.png",
            caption=caption("surrogate"),
            category="3 Surrogate",
            labels={"model": "{model}", "figure": "marginals"},
        ),
    log:
        "results/{study}/logs/surrogate_figures/{model}.log",
    params:
        spec=spec(observables=STUDY.observable_list(), label=LABEL),
        code=code("surrogate_figures"),
    script:
        "../workflow/scripts/surrogate_figures.py"
