"""The jet's response, learned with its uncertainties and applied to simulation and data alike.

INPUTS:  results/<study>/ingest/<sample>.parquet
OUTPUTS: results/<study>/calibrate/model.safetensors, <sample>.parquet, summary.json, figures/
"""


rule calibrate_all:
    input:
        f"{RESULTS}/calibrate/summary.json",
        f"{RESULTS}/calibrate/figures/closure.png",
        f"{RESULTS}/calibrate/figures/pulls.png",


rule calibrate:
    input:
        simulation=f"results/{{study}}/ingest/{SIMULATION}.parquet",
        data=f"results/{{study}}/ingest/{DATA}.parquet",
        alternatives=[f"results/{{study}}/ingest/{sample}.parquet" for sample in OTHERS],
        examined=EXAMINED,
    output:
        model="results/{study}/calibrate/model.safetensors",
        simulation=f"results/{{study}}/calibrate/{SIMULATION}.parquet",
        data=f"results/{{study}}/calibrate/{DATA}.parquet",
        alternatives=[f"results/{{study}}/calibrate/{sample}.parquet" for sample in OTHERS],
        summary="results/{study}/calibrate/summary.json",
    log:
        "results/{study}/logs/calibrate.log",
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        spec=spec(
            calibrate=STUDY.calibrate,
            observables=STUDY.unfolded_list(),
            alternatives=OTHERS,
        ),
        code=code("calibrate", ("calibrate", STUDY.calibrate["kind"])),
    script:
        "../workflow/scripts/calibrate.py"


rule calibrate_figures:
    input:
        "results/{study}/calibrate/summary.json",
    output:
        closure=report(
            "results/{study}/calibrate/figures/closure.png",
            caption=caption("closure"),
            category="2 Calibrate",
            labels={"figure": "closure"},
        ),
        pulls=report(
            "results/{study}/calibrate/figures/pulls.png",
            caption=caption("pulls"),
            category="2 Calibrate",
            labels={"figure": "pulls"},
        ),
    log:
        "results/{study}/logs/calibrate_figures.log",
    params:
        spec=spec(observables=STUDY.observable_list(), label=LABEL),
        code=code("calibrate_figures"),
    script:
        "../workflow/scripts/calibrate_figures.py"
