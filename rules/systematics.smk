"""What the simulation may have wrong as weights of its events; part of the chain where the study asks for any of it.

INPUTS:  results/<study>/calibrate/<sample>.parquet (ingest/ where the study does not calibrate)
OUTPUTS: results/<study>/systematics/<simulation>.parquet, summary.json
"""


rule systematics_all:
    input:
        f"{RESULTS}/systematics/summary.json",


rule systematics:
    input:
        simulation=calibrated(SIMULATION),
        data=calibrated(DATA) if STUDY.looks_at_data else [],
        alternatives=[calibrated(sample) for sample in OTHERS],
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
        spec=spec(
            systematics=LEARNED,
            samples=OTHERS,
            observables=STUDY.unfolded_list(),
            features=STUDY.features(),
        ),
        code=code("systematics"),
    script:
        "../workflow/scripts/systematics.py"
