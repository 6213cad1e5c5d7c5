"""What all rules share: names, the smallest spec that a stage reads, and the digest of the code it runs."""

import signal
from functools import cache
from pathlib import Path

from snakemake.io import IOFile
from snakemake.persistence.file import FilePersistence

from truthward.run import digests, files, kept
from truthward.study import plugins

# A cluster's notice that time runs out is for the trainings, which save: the Snakemakes around them must outlive it.
signal.signal(signal.SIGUSR1, signal.SIG_IGN)

# Several simulated samples are merged into the table of this name.
SIMULATION = STUDY.simulation
DATA = STUDY.sample("data")
METHODS = list(STUDY.unfold.methods)
MODELS = list(STUDY.surrogate.models)
# Systematics that are found from the samples, by the stage of that name.
LEARNED = STUDY.learned()
OTHERS = [name for name, sample in STUDY.samples.items() if sample.role == "alternative"]
AMPLIFIED = MODELS if STUDY.amplify else []
RESULTS = f"results/{STUDY.study}"
LABEL = STUDY.report.model_dump()

# Of all that trains: samples that cannot be unfolded as they are end the study before. No `ancient` input: where one is
# made anew, Snakemake 9 leaves out the jobs that need it, though they have reasons of their own.
EXAMINED = f"{RESULTS}/ingest/examined.json"


wildcard_constraints:
    study=STUDY.study,
    sample="|".join(STUDY.samples) or "none",
    method="|".join(METHODS) or "none",
    model="|".join(MODELS) or "none",
    chunk=r"\d+",
    job=r"\d+",


def spec(**parts):
    """The `spec` param: the study's seed and the parts of the config that the stage reads, as plain data."""
    return {"seed": STUDY.seed, **parts}


def code(rule, *kinds):
    """The `code` param: digest of the adapter, of all it can reach by imports, and of the chosen plug-ins."""
    return digests.code(Path(workflow.basedir) / "workflow" / "scripts" / f"{rule}.py", kinds)


if workflow.is_main_process:
    digests.hand_over(Path(workflow.basedir) / "workflow" / "scripts")


def unfold_kinds(method):
    """The plug-ins that a method's result depends on: itself, and the generative model that it uses."""
    entry = STUDY.unfold.methods[method]
    schema = plugins.schema("unfold", entry["kind"])
    model = entry.get("model", schema.options.get("model", ("", None))[1])
    return [("unfold", entry["kind"]), *(plugins.model_kinds(model) if model else [])]


# Those that have a posterior to check.
GENERATIVE = [m for m in METHODS if STUDY.validate_.posteriors and "models" in dict(unfold_kinds(m))]


def calibrated(sample):
    """The event table of a sample, calibrated where the study calibrates."""
    stage = "calibrate" if STUDY.calibrate else "ingest"
    return f"results/{{study}}/{stage}/{sample}.parquet"


def events(sample):
    """The event table that is unfolded: the simulation with what it may have wrong, where that is learned."""
    if LEARNED and sample == SIMULATION:
        return f"results/{{study}}/systematics/{sample}.parquet"
    return calibrated(sample)


def files_of(where, texts, tree=None):
    """The files that are named, in their order; a name that is not valid ends the call with its key."""
    try:
        return files.expand(texts, tree)
    except InputError as error:
        sys.exit(f"ConfigError: {where}: {error}")


def trees_of(where, entry):
    """Files of the trees of a reader's entry, "" for the main one. where: key of the entry."""
    trees = {"": entry} | entry.get("join", {})
    return {
        tree: files_of(f"{where}.join.{tree}.files" if tree else f"{where}.files", each["files"], each.get("tree"))
        for tree, each in trees.items()
        if each.get("files") is not None
    }


def placed(entry, trees):
    """The entry with the places of its files: those that lie here are inputs of a rule."""
    places = {tree: [file.place for file in found] for tree, found in trees.items()}
    entry = entry | {"files": places.pop("")}
    if "join" in entry:
        joined = {tree: {"files": found} for tree, found in places.items()}
        entry["join"] = {tree: join | joined.get(tree, {}) for tree, join in entry["join"].items()}
    return entry


def remote_in(trees, stage):
    """What the servers say of remote files: where it changes, they are read again."""
    found = [file for each in trees.values() for file in each if file.remote]
    note = Path(RESULTS) / stage / ".remote.json"
    return files.planned(found, note, ask=workflow.is_main_process, keep=WORKS) if found else {}


def caption(name):
    """The caption of a figure in the report."""
    return workflow.source_path(f"../workflow/report/{name}.rst")


def recorded(path):
    """Whether Snakemake has a record of an artefact as it is now: only then it sees that its params change."""
    record = FilePersistence(nolock=True).metadata(IOFile(str(path)))
    return record is not None and path.is_file() and path.stat().st_mtime < record.endtime + 0.01


# What jobs finished that outlived their call. While another call is at work it is that one's business, and a call that
# only looks changes nothing.
LOOKS = {"-n", "--dry-run", "--dryrun", "--report", "--unlock"} & set(sys.argv)
WORKS = workflow.is_main_process and not LOOKS and not any(Path(".snakemake/locks").glob("*"))
if WORKS:
    kept.withdraw(RESULTS, recorded)
