"""How many events a sample of the surrogate is worth.

INPUTS:  results/<study>/surrogate/<model>/model.safetensors, the simulation's event table
OUTPUTS: results/<study>/amplify/<model>/amplified.parquet, summary.json, figures/
"""


rule amplify_all:
    input:
        expand("{results}/amplify/{model}/amplified.parquet", results=RESULTS, model=AMPLIFIED),
        expand("{results}/amplify/{model}/figures/amplification.png", results=RESULTS, model=AMPLIFIED),


rule amplify:
    input:
        model="results/{study}/surrogate/{model}/model.safetensors",
        simulation=calibrated(SIMULATION),
    output:
        table="results/{study}/amplify/{model}/amplified.parquet",
        summary="results/{study}/amplify/{model}/summary.json",
    log:
        "results/{study}/logs/amplify/{model}.log",
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        spec=lambda w: spec(
            model=STUDY.surrogate.models[w.model],
            amplify=STUDY.amplify.model_dump(),
            observables=STUDY.observable_list(),
        ),
        code=lambda w: code("amplify", ("models", STUDY.surrogate.models[w.model]["kind"])),
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
        spec=spec(),
        code=code("amplify_figures"),
    script:
        "../workflow/scripts/amplify_figures.py"
