"""Alternative simulations as weights of the nominal one; part of the chain where the study has any.

INPUTS:  results/<study>/calibrate/<sample>.parquet (ingest/ where the study does not calibrate)
OUTPUTS: results/<study>/systematics/<simulation>.parquet, summary.json
"""


rule systematics_all:
    input:
        f"{RESULTS}/systematics/summary.json" if ALTERNATIVES else [],


if ALTERNATIVES:

    rule systematics:
        input:
            simulation=calibrated(SIMULATION),
            alternatives=[calibrated(sample) for sample in ALTERNATIVES.values()],
            examined=EXAMINED,
        output:
            table=f"results/{{study}}/systematics/{SIMULATION}.parquet",
            summary="results/{study}/systematics/summary.json",
        log:
            "results/{study}/logs/systematics.log",
        resources:
            mem_mb=4000,
            runtime=120,
        params:
            spec=spec(alternatives=list(ALTERNATIVES), observables=STUDY.observable_list()),
            code=code("systematics"),
        script:
            "../workflow/scripts/systematics.py"
