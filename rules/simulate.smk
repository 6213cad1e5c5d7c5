"""Simulated collisions at both levels, in parallel chunks of blocks with seeds of their own.

INPUTS:  none; samples.<sample>.generate of the config
OUTPUTS: results/<study>/simulate/<sample>/<chunk>.root
"""

GENERATED = {name: sample for name, sample in STUDY.samples.items() if sample.generate}


rule simulate_all:
    input:
        [
            f"{RESULTS}/simulate/{name}/{chunk}.root"
            for name, sample in GENERATED.items()
            for chunk in range(sample.chunks)
        ],


rule simulate:
    output:
        "results/{study}/simulate/{sample}/{chunk}.root",
    log:
        "results/{study}/logs/simulate/{sample}.{chunk}.log",
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        spec=lambda w: spec(
            sample=w.sample,
            generate=GENERATED[w.sample].generate,
            events=GENERATED[w.sample].events,
            chunks=GENERATED[w.sample].chunks,
        ),
        code=lambda w: code("simulate", ("physics.generators", GENERATED[w.sample].generate["kind"])),
    script:
        "../workflow/scripts/simulate.py"
