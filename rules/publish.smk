"""What others reuse: truth-level events with weight and replicas, and all that is needed to read them.

INPUTS:  results/<study>/unfold/<method>/unfolded.parquet, validate/<method>.json: what it says of the method decides
OUTPUTS: results/<study>/publication/
"""


rule publish_all:
    input:
        f"{RESULTS}/publication/metadata.json",


rule publish:
    input:
        unfolded=f"results/{{study}}/unfold/{STUDY.publish.method}/unfolded.parquet",
        validated=f"results/{{study}}/validate/{STUDY.publish.method}.json",
    output:
        events="results/{study}/publication/events.parquet",
        metadata="results/{study}/publication/metadata.json",
        readme="results/{study}/publication/README.md",
        example="results/{study}/publication/example.py",
        page="results/{study}/publication/explore.html",
        schema="results/{study}/publication/metadata.schema.json",
        tables="results/{study}/publication/hepdata/submission.yaml",
        checksums="results/{study}/publication/SHA256SUMS",
    log:
        "results/{study}/logs/publish.log",
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        spec=spec(
            study=STUDY.study,
            publish=STUDY.publish.model_dump()
            | {"particle_level": STUDY.particle_level(), "luminosity": STUDY.published_luminosity()},
            observables=STUDY.observable_list(),
            model=STUDY.model_families(),
            label=LABEL,
        ),
        code=code("publish"),
    script:
        "../workflow/scripts/publish.py"
