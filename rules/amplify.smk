"""How many events a sample of the surrogate is worth.

INPUTS:  results/<study>/surrogate/<model>/model.safetensors, the simulation's event table
OUTPUTS: results/<study>/amplify/<model>/study.json, chunks/, amplified.parquet, summary.json, figures/
"""


rule amplify_all:
    input:
        expand("{results}/amplify/{model}/amplified.parquet", results=RESULTS, model=AMPLIFIED),
        expand("{results}/amplify/{model}/figures/amplification.png", results=RESULTS, model=AMPLIFIED),


rule amplify_study:
    output:
        "results/{study}/amplify/{model}/study.json",
    log:
        "results/{study}/logs/amplify_study/{model}.log",
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        spec=lambda w: spec(
            model=STUDY.surrogate.models[w.model],
            uncertainty=STUDY.surrogate.uncertainty.model_dump() | STUDY.amplify.model_dump(include={"members"}),
            study=STUDY.amplify.model_dump(exclude={"factor", "chunks", "members"}),
        ),
        code=lambda w: code("amplify_study", *plugins.model_kinds(STUDY.surrogate.models[w.model])),
    script:
        "../workflow/scripts/amplify_study.py"


rule amplify_draw:
    input:
        model="results/{study}/surrogate/{model}/model.safetensors",
        simulation=calibrated(SIMULATION),
    output:
        "results/{study}/amplify/{model}/chunks/{chunk}.parquet",
    log:
        "results/{study}/logs/amplify_draw/{model}.{chunk}.log",
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        spec=lambda w: spec(**STUDY.amplify.model_dump(include={"factor", "chunks"})),
        code=lambda w: code("amplify_draw", *plugins.model_kinds(STUDY.surrogate.models[w.model])),
    script:
        "../workflow/scripts/amplify_draw.py"


rule amplify:
    input:
        study="results/{study}/amplify/{model}/study.json",
        chunks=expand(
            "results/{{study}}/amplify/{{model}}/chunks/{chunk}.parquet",
            chunk=range(STUDY.amplify.chunks if STUDY.amplify else 0),
        ),
        simulation=calibrated(SIMULATION),
    output:
        table="results/{study}/amplify/{model}/amplified.parquet",
        summary="results/{study}/amplify/{model}/summary.json",
    log:
        "results/{study}/logs/amplify/{model}.log",
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        spec=lambda w: spec(factor=STUDY.amplify.factor),
        code=code("amplify"),
    script:
        "../workflow/scripts/amplify.py"


rule amplify_figures:
    input:
        "results/{study}/amplify/{model}/summary.json",
    output:
        report(
            "results/{study}/amplify/{model}/figures/amplification.png",
            caption=caption("amplification"),
            category="3 Surrogate",
            labels={"model": "{model}", "figure": "amplification"},
        ),
    log:
        "results/{study}/logs/amplify_figures/{model}.log",
    params:
        spec=spec(label=LABEL),
        code=code("amplify_figures"),
    script:
        "../workflow/scripts/amplify_figures.py"
