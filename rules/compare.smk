"""The published result against predictions at truth level.

INPUTS:  results/<study>/publication/, the files of compare.predictions.<name>.read
OUTPUTS: results/<study>/compare/<name>.parquet, comparison.json, comparison.csv, comparison.png
"""

PREDICTIONS = STUDY.compare.predictions


@cache
def predicted(name):
    """Files of the trees of a prediction."""
    return trees_of(f"compare.predictions.{name}.read", PREDICTIONS[name].read)


@cache
def predicted_spec(name):
    """What the rule of a prediction reads of the config."""
    unfolded = [o for o in STUDY.observable_list() if o["name"] in STUDY.published_observables()]
    more = {"remote": known} if (known := remote_in(predicted(name), "compare")) else {}
    read = placed(PREDICTIONS[name].read, predicted(name))
    return spec(read=read, selection={"truth": STUDY.selection.truth}, observables=unfolded, **more)


rule compare_all:
    input:
        f"{RESULTS}/compare/comparison.csv",
        f"{RESULTS}/compare/comparison.png",


rule compare_prediction:
    input:
        lambda w: [f.address for found in predicted(w.name).values() for f in found if not f.remote],
    output:
        "results/{study}/compare/{name}.parquet",
    log:
        "results/{study}/logs/compare_prediction/{name}.log",
    wildcard_constraints:
        name="|".join(PREDICTIONS),
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        spec=lambda w: predicted_spec(w.name),
        code=lambda w: code("compare_prediction", ("events.readers", PREDICTIONS[w.name].read["kind"])),
    script:
        "../workflow/scripts/compare_prediction.py"


rule compare:
    input:
        metadata="results/{study}/publication/metadata.json",
        events="results/{study}/publication/events.parquet",
        bins="results/{study}/publication/hepdata/submission.yaml",
        checksums="results/{study}/publication/SHA256SUMS",
        predictions=expand("results/{{study}}/compare/{name}.parquet", name=PREDICTIONS),
    output:
        json="results/{study}/compare/comparison.json",
        csv=report(
            "results/{study}/compare/comparison.csv",
            caption=caption("compare"),
            category="7 Compare",
            labels={"figure": "table"},
        ),
    log:
        "results/{study}/logs/compare.log",
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        spec=spec(
            labels=[entry.label or name for name, entry in PREDICTIONS.items()],
            absolute=STUDY.compare.absolute,
        ),
        code=code("compare"),
    script:
        "../workflow/scripts/compare.py"


rule compare_figures:
    input:
        "results/{study}/compare/comparison.json",
    output:
        report(
            "results/{study}/compare/comparison.png",
            caption=caption("compare"),
            category="7 Compare",
            labels={"figure": "predictions over the measurement"},
        ),
    log:
        "results/{study}/logs/compare_figures.log",
    params:
        spec=spec(label=LABEL),
        code=code("compare_figures"),
    script:
        "../workflow/scripts/compare_figures.py"
