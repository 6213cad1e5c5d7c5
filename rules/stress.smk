"""Stress tests of every method on pseudo-data made of the study's own simulation; by themselves: `snakemake stress_all`.

INPUTS:  results/<study>/calibrate/<sample>.parquet (ingest/ where the study does not calibrate); of the data no truth
OUTPUTS: results/<study>/validate/stress/<method>.json, stress.{json,csv,md}, stress.png
"""

from truthward.validate.section import Stress

# Part of `validate_all` where the config has a section `validate.stress`.
STRESS = STUDY.validate_.stress or Stress()


rule stress_all:
    input:
        f"{RESULTS}/validate/stress/stress.csv",
        f"{RESULTS}/validate/stress/stress.png",


rule stress:
    input:
        simulation=events(SIMULATION),
        data=events(DATA),
        examined=EXAMINED,
    output:
        "results/{study}/validate/stress/{method}.json",
    log:
        "results/{study}/logs/stress/{method}.log",
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        spec=lambda w: spec(
            method=STUDY.unfold.methods[w.method],
            observables=STUDY.observable_list(),
            stress=STRESS.model_dump(),
            validate=STUDY.validate_.two_sample(),
        ),
        code=lambda w: code("stress", *unfold_kinds(w.method)),
    script:
        "../workflow/scripts/stress.py"


rule stress_table:
    input:
        expand("results/{{study}}/validate/stress/{method}.json", method=METHODS),
    output:
        json="results/{study}/validate/stress/stress.json",
        csv=report(
            "results/{study}/validate/stress/stress.csv",
            caption=caption("stress"),
            category="6 Stress",
            labels={"method": "all", "figure": "table"},
        ),
        md="results/{study}/validate/stress/stress.md",
    log:
        "results/{study}/logs/stress_table.log",
    params:
        spec=spec(methods=METHODS),
        code=code("stress_table"),
    script:
        "../workflow/scripts/stress_table.py"


rule stress_figures:
    input:
        "results/{study}/validate/stress/stress.json",
    output:
        report(
            "results/{study}/validate/stress/stress.png",
            caption=caption("stress"),
            category="6 Stress",
            labels={"method": "all", "figure": "stress"},
        ),
    log:
        "results/{study}/logs/stress_figures.log",
    params:
        spec=spec(label=LABEL),
        code=code("stress_figures"),
    script:
        "../workflow/scripts/stress_figures.py"
