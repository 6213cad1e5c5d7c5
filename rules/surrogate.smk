"""Fast generative surrogates of the simulation, at both levels.

INPUTS:  results/<study>/calibrate/<simulation>.parquet (ingest/ where the study does not calibrate)
OUTPUTS: results/<study>/surrogate/<model>/model.safetensors, samples.parquet, summary.json
"""


rule surrogate_all:
    input:
        expand("{results}/surrogate/{model}/samples.parquet", results=RESULTS, model=MODELS),
        expand("{results}/surrogate/{model}/figures/marginals.png", results=RESULTS, model=MODELS),


rule surrogate:
    input:
        simulation=calibrated(SIMULATION),
        examined=EXAMINED,
    output:
        model="results/{study}/surrogate/{model}/model.safetensors",
        samples="results/{study}/surrogate/{model}/samples.parquet",
        summary="results/{study}/surrogate/{model}/summary.json",
    log:
        "results/{study}/logs/surrogate/{model}.log",
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        spec=lambda w: spec(
            model=STUDY.surrogate.models[w.model],
            training=STUDY.surrogate.model_dump(exclude={"models"}),
            observables=STUDY.unfolded_list(),
        ),
        code=lambda w: code("surrogate", *plugins.model_kinds(STUDY.surrogate.models[w.model])),
    script:
        "../workflow/scripts/surrogate.py"
