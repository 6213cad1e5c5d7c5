"""One page that a physicist understands in a minute; `snakemake --report` binds it with all other figures.

INPUTS:  results/<study>/validate/<method>.json, methods.json
OUTPUTS: results/<study>/report/summary.png
"""


rule report_all:
    input:
        f"{RESULTS}/report/summary.png",


rule report_summary:
    input:
        methods=expand("results/{{study}}/validate/{method}.json", method=METHODS),
        table="results/{study}/validate/methods.json",
    output:
        report(
            "results/{study}/report/summary.png",
            caption=caption("summary"),
            category="0 Summary",
            labels={"figure": "summary"},
        ),
    log:
        "results/{study}/logs/report_summary.log",
    params:
        spec=spec(study=STUDY.study, methods=METHODS, observables=STUDY.observable_list(), label=LABEL),
        code=code("report_summary"),
    script:
        "../workflow/scripts/report_summary.py"
