"""ROOT files into event tables, and what came in.

INPUTS:  results/<study>/simulate/<sample>/<chunk>.root, or the files of samples.<sample>.read that lie here
OUTPUTS: results/<study>/ingest/<sample>.parquet, <sample>.closure_truth.parquet, examined.json, summary.json,
         figures/; prediction.parquet and samples.csv where several samples are the simulation
"""

CLOSURE = f"{RESULTS}/ingest/{DATA}.closure_truth.parquet" if STUDY.has_closure else []


def reader(sample, closure=False):
    """The reader's entry: generated samples are flat trees whose branches are named as the columns."""
    entry = STUDY.samples[sample]
    return (entry.closure_read if closure else entry.read) or {"kind": "flat_tree", "same_names": True}


@cache
def sources(sample, closure=False):
    """Files of the trees of a sample, "" for the main one: chunks of the generator, or what the config names."""
    if (entry := STUDY.samples[sample]).generate:
        chunks = [f"{RESULTS}/simulate/{sample}/{chunk}.root" for chunk in range(entry.chunks)]
        return {"": [files.File(chunk) for chunk in chunks]}
    return trees_of(f"samples.{sample}", reader(sample, closure))


def local_files(sample, closure=False):
    """Paths of the files that lie here: inputs of a rule. Remote files are in its spec."""
    return [file.address for found in sources(sample, closure).values() for file in found if not file.remote]


@cache
def remote_files(sample, closure=False):
    """What the servers say of the remote files of a sample."""
    return remote_in(sources(sample, closure), "ingest")


def listing(sample, key):
    """The file that a key of a sample names, where it names one: checksums, or certified luminosity sections."""
    path = getattr(STUDY.samples[sample], key)
    if path and not Path(path).is_file():
        sys.exit(f"ConfigError: samples.{sample}.{key}: {path}: no such file (seen from {Path.cwd()})")
    return [path] if path else []


def ingest_spec(sample, closure=False):
    """What the three rules read of the config; files that lie here are their input, and only their places are in it."""
    entry = placed(reader(sample, closure), sources(sample, closure))
    role = "closure_truth" if closure else STUDY.samples[sample].role
    # An alternative is a simulation as any other, but has no variations of its own.
    more = {"systematics": STUDY.variations()} if role in ("simulation", "background") else {}
    more |= {"process": sample} if role == "background" else {}
    more |= {"normalisation": n} if (n := STUDY.normalisation(sample)) else {}
    more |= {"part": True} if sample in STUDY.merged() else {}
    role = role.replace("alternative", "simulation")
    observables, selection = STUDY.observable_list(), STUDY.selection.model_dump()
    more |= {"remote": known} if (known := remote_files(sample, closure)) else {}
    return spec(read=entry, role=role, selection=selection, observables=observables, **more)


PSEUDODATA = [name for name, sample in STUDY.samples.items() if sample.closure]


rule ingest_all:
    input:
        expand("{results}/ingest/{sample}.parquet", results=RESULTS, sample=dict.fromkeys([*STUDY.samples, SIMULATION])),
        CLOSURE,
        f"{RESULTS}/ingest/figures/data_over_simulation.png",
        f"{RESULTS}/ingest/figures/response.png",


rule ingest:
    input:
        files=lambda w: local_files(w.sample),
        checksums=lambda w: listing(w.sample, "checksums"),
        certified=lambda w: listing(w.sample, "certified"),
    output:
        table="results/{study}/ingest/{sample}.parquet",
    log:
        "results/{study}/logs/ingest/{sample}.log",
    wildcard_constraints:
        sample="|".join(name for name in STUDY.samples if name not in PSEUDODATA) or "none",
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        spec=lambda w: ingest_spec(w.sample),
        code=lambda w: code("ingest", ("events.readers", reader(w.sample)["kind"])),
    script:
        "../workflow/scripts/ingest.py"


rule ingest_pseudodata:
    input:
        files=lambda w: local_files(w.sample),
        checksums=lambda w: listing(w.sample, "checksums"),
    output:
        table="results/{study}/ingest/{sample}.parquet",
        closure="results/{study}/ingest/{sample}.closure_truth.parquet",
    log:
        "results/{study}/logs/ingest_pseudodata/{sample}.log",
    wildcard_constraints:
        sample="|".join(PSEUDODATA) or "none",
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        spec=lambda w: ingest_spec(w.sample),
        code=lambda w: code("ingest_pseudodata", ("events.readers", reader(w.sample)["kind"])),
    script:
        "../workflow/scripts/ingest_pseudodata.py"


rule ingest_closure:
    input:
        files=lambda w: local_files(w.sample, closure=True),
        checksums=lambda w: listing(w.sample, "checksums"),
    output:
        table="results/{study}/ingest/{sample}.closure_truth.parquet",
    log:
        "results/{study}/logs/ingest_closure/{sample}.log",
    wildcard_constraints:
        sample="|".join(name for name, sample in STUDY.samples.items() if sample.closure_read) or "none",
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        spec=lambda w: ingest_spec(w.sample, closure=True),
        code=lambda w: code("ingest_closure", ("events.readers", reader(w.sample, closure=True)["kind"])),
    script:
        "../workflow/scripts/ingest_closure.py"


if STUDY.merged():

    rule ingest_merge:
        input:
            [f"results/{{study}}/ingest/{sample}.parquet" for sample in STUDY.merged()],
        output:
            table=f"results/{{study}}/ingest/{SIMULATION}.parquet",
            samples=report(
                "results/{study}/ingest/samples.csv",
                caption=caption("samples"),
                category="1 Ingest",
                labels={"figure": "samples"},
            ),
        log:
            "results/{study}/logs/ingest_merge.log",
        resources:
            mem_mb=2000,
            runtime=60,
        params:
            spec=spec(samples=STUDY.merged()),
            code=code("ingest_merge"),
        script:
            "../workflow/scripts/ingest_merge.py"


rule ingest_examine:
    input:
        simulation=f"results/{{study}}/ingest/{SIMULATION}.parquet",
        data=f"results/{{study}}/ingest/{DATA}.parquet",
        alternatives=[f"results/{{study}}/ingest/{sample}.parquet" for sample in OTHERS],
    output:
        "results/{study}/ingest/examined.json",
    log:
        "results/{study}/logs/ingest_examine.log",
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=spec(
            samples={"simulation": SIMULATION, "data": DATA, "alternatives": OTHERS},
            ingest=STUDY.ingest.model_dump(),
            observables=STUDY.observable_list(),
        ),
        code=code("ingest_examine"),
    script:
        "../workflow/scripts/ingest_examine.py"


rule ingest_summary:
    input:
        simulation=f"results/{{study}}/ingest/{SIMULATION}.parquet",
        data=f"results/{{study}}/ingest/{DATA}.parquet",
        examined="results/{study}/ingest/examined.json",
    output:
        "results/{study}/ingest/summary.json",
    log:
        "results/{study}/logs/ingest_summary.log",
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=spec(observables=STUDY.observable_list(), notes=notes(STUDY)),
        code=code("ingest_summary"),
    script:
        "../workflow/scripts/ingest_summary.py"


rule ingest_figures:
    input:
        "results/{study}/ingest/summary.json",
    output:
        data=report(
            "results/{study}/ingest/figures/data_over_simulation.png",
            caption=caption("data"),
            category="1 Ingest",
            labels={"figure": "data over simulation"},
        ),
        response=report(
            "results/{study}/ingest/figures/response.png",
            caption=caption("response"),
            category="1 Ingest",
            labels={"figure": "response"},
        ),
    log:
        "results/{study}/logs/ingest_figures.log",
    params:
        spec=spec(observables=STUDY.observable_list(), label=LABEL),
        code=code("ingest_figures"),
    script:
        "../workflow/scripts/ingest_figures.py"
