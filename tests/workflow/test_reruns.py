"""What runs again after a change: what it touches and what hangs from it, no more. Real Snakemake each time."""

import os
import re
import subprocess
import sys

import pytest

from tests.test_layers import layer
from truthward.run.checksums import beside, verify

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]


def branch(method: str, jobs: int = 2) -> set[str]:
    """Everything that hangs from the training of one method."""
    iterating = {f"validate/figures/{method}.iterations.png"} if method in ("omnifold", "generative") else set()
    return iterating | {
        *(f"unfold/{method}/parts/{job}.parquet" for job in ("nominal", *range(jobs))),
        f"unfold/{method}/unfolded.parquet",
        f"unfold/{method}/figures/iterations.png",
        f"validate/{method}.json",
        f"validate/figures/{method}.png",
        f"validate/figures/{method}.refold.png",
        "validate/methods.json",
        "report/summary.png",
    }


PUBLICATION = {"publication/events.parquet"}


def test_the_whole_chain_ran(finished) -> None:
    results = finished.path("results/tiny")
    for name in ("publication/metadata.json", "validate/methods.csv", "report/summary.png", "calibrate/summary.json"):
        assert (results / name).is_file(), name
    files = [p for p in results.rglob("*") if p.is_file() and not p.name.startswith(".snakemake")]
    apart = {p for folder in ("logs", "publication") for p in (results / folder).rglob("*")}
    made = [p for p in files if p not in apart and not p.name.startswith(".")]
    records = [beside(p) for p in made]
    assert {p for p in results.rglob(".*") if not p.name.startswith(".snakemake")} == set(records), (
        "every artefact has its record; half-written artefacts or resume states are not left over"
    )
    assert len(made) > 40
    assert verify(made) == []


def test_a_second_run_does_nothing(fork) -> None:
    assert fork.planned() == set()
    assert "Nothing to be done" in fork.call("--cores", "1", "--configfile", "study.yaml").stderr


def test_a_methods_option_reruns_its_branch(fork) -> None:
    fork.study(lambda s: s["unfold"]["methods"]["ibu"].update(kind="ibu", max_iterations=7))
    assert fork.planned() == branch("ibu")


def test_the_published_methods_option_reruns_the_publication_too(fork) -> None:
    fork.study(lambda s: s["unfold"]["methods"]["omnifold"]["network"].update(width=17))
    assert fork.planned() == branch("omnifold") | PUBLICATION


def test_code_of_one_method_reruns_its_branch(fork) -> None:
    with fork.path("src/truthward/unfold/ibu.py").open("a") as file:
        file.write("\n\nANOTHER = 1\n")
    assert fork.planned() == branch("ibu")


def test_code_of_a_model_reruns_what_uses_it(fork) -> None:
    with fork.path("src/truthward/models/flow_matching.py").open("a") as file:
        file.write("\n\nANOTHER = 1\n")
    planned = fork.planned()
    assert branch("generative") <= planned
    assert "surrogate/flow_matching/model.safetensors" in planned
    assert not [
        p for p in planned if p.startswith(("unfold/omnifold", "unfold/ibu", "ingest", "calibrate", "simulate"))
    ]


def test_comments_and_docstrings_rerun_nothing(fork) -> None:
    for name in (
        "src/truthward/unfold/omnifold/method.py",
        "src/truthward/learn/fit.py",
        "workflow/scripts/simulate.py",
    ):
        path = fork.path(name)
        path.write_text("# A comment.\n" + re.sub(r'"""', '"""Said otherwise. ', path.read_text(), count=1))
    assert fork.planned() == set()


def test_code_of_an_adapter_reruns_its_rule(fork) -> None:
    with fork.path("workflow/scripts/report_summary.py").open("a") as file:
        file.write("\nANOTHER = 1\n")
    assert fork.planned() == {"report/summary.png"}


def shows(path: str) -> bool:
    """Whether an artefact has figures; those of a publication are beside its tables for HEPData."""
    return "figures" in path or path == "report/summary.png" or path.startswith("publication/")


def test_a_figures_code_trains_nothing(fork) -> None:
    with fork.path("src/truthward/report/style.py").open("a") as file:
        file.write("\n\nANOTHER = 1\n")
    assert all(map(shows, fork.planned()))


@pytest.mark.parametrize(
    ("name", "old", "new", "which"),
    [
        ("study/observable.py", "* i / bins)", "* i / bins + 0)", "what has bins"),
        ("simulate/section.py", "BLOCK = 1000", "BLOCK = 999", "all events"),
        ("study/config.py", "return {name: n for name, n", "return {name: n + 1 for name, n", "what has replicas"),
        ("publish/hepdata.py", "width=1000", "width=80", "the publication"),
    ],
)
def test_what_decides_a_result_reruns_it_wherever_it_stands(fork, name: str, old: str, new: str, which: str) -> None:
    """Bin edges, the blocks of generated events, the counts of families, and what writes the tables of HEPData."""
    made = {*(f"simulate/simulation/{chunk}.root" for chunk in (0, 1)), "simulate/pseudodata/0.root"}
    unbinned = {*made, "amplify/flow_matching/study.json"}
    expected = {
        "all events": lambda: fork.planned("--forceall") - {"amplify/flow_matching/study.json"},
        "what has bins": lambda: fork.planned("--forceall") - unbinned,
        "what has replicas": lambda: branch("omnifold") | branch("generative") | branch("ibu") | PUBLICATION,
        "the publication": lambda: PUBLICATION,
    }[which]()
    fork.edit(f"src/truthward/{name}", old, new)
    assert fork.planned() == expected


def test_a_deleted_part_is_made_again_and_gives_the_same_result(fork) -> None:
    from truthward.events.unfolded import Unfolded

    path = fork.path("results/tiny/unfold/ibu/unfolded.parquet")
    before = Unfolded(path).histogram("x0", [6.0, 9.0, 10.0, 11.0, 14.0])
    fork.path("results/tiny/unfold/ibu/parts/1.parquet").unlink()
    path.unlink()
    fork.run("unfold_all")
    after = Unfolded(path).histogram("x0", [6.0, 9.0, 10.0, 11.0, 14.0])
    assert (before.nominal == after.nominal).all()


def test_one_more_method_is_one_file_and_one_entry(fork) -> None:
    source = fork.path("src/truthward/unfold/ibu.py").read_text(encoding="utf-8")
    fork.path("src/truthward/unfold/another.py").write_text(source.replace("class Ibu(", "class Another("))
    fork.study(lambda s: s["unfold"]["methods"].update(another={"kind": "another"}))
    assert fork.planned() == branch("another")
    fork.run()
    assert "another" in fork.path("results/tiny/validate/methods.csv").read_text()


def test_a_stop_point_stops(empty) -> None:
    planned = empty.planned("ingest_all")
    assert {p.split("/")[0] for p in planned} == {"simulate", "ingest"}
    assert not [
        p for p in empty.planned("unfold_all") if p.startswith(("validate", "publication", "report", "amplify"))
    ]


PROBE = """
import runpy, sys
sys.argv = ["snakemake", "-n", "-q", "--configfile", "study.yaml", "--cores", "1"]
try:
    runpy.run_module("snakemake", run_name="__main__")
except SystemExit as end:
    print("EXIT", end.code, [name for name in ("torch", "awkward", "uproot", "fastjet") if name in sys.modules])
    # A package's own file is its docstring.
    own = [name for name, module in sys.modules.items() if not hasattr(module, "__path__")]
    print("OWN", *(name.partition(".")[2] for name in own if name.startswith("truthward.")))
"""


def test_a_dry_run_loads_nothing_heavy(empty) -> None:
    empty.path("probe.py").write_text(PROBE)
    environment = os.environ | {"PYTHONPATH": str(empty.folder / "src")}
    done = subprocess.run(
        [sys.executable, "probe.py"], cwd=empty.folder, env=environment, capture_output=True, text=True, check=True
    )
    assert "EXIT 0 []" in done.stdout
    # Snakemake's plug-in for SLURM imports pandas itself; of this package nothing is loaded that could.
    own = next(line.split()[1:] for line in done.stdout.splitlines() if line.startswith("OWN"))
    assert {"study.config", "study.checks", "run.digests"} <= set(own)
    assert [name for name in own if layer(name) > 0] == []


def test_a_pin_reruns_what_it_can_change(fork) -> None:
    lock, pin = "envs/requirements.lock", r"(?m)^{}==[^ ]+"

    def bump(name: str) -> None:
        text = fork.path(lock).read_text(encoding="utf-8")
        assert re.search(pin.format(name), text)
        fork.path(lock).write_text(re.sub(pin.format(name), f"{name}==9.9", text), encoding="utf-8")

    with fork.path(lock).open("a") as file:
        file.write("# Why this one is old.\n")
    for name in ("ruff", "pytest", "snakemake", "rich"):
        bump(name)
    assert fork.planned() == set(), "tools and comments are part of no result"
    bump("contourpy")
    planned = fork.planned()
    assert planned
    assert all(map(shows, planned)), "what only matplotlib requires"
    bump("torch")
    assert branch("omnifold") | {"surrogate/flow_matching/model.safetensors"} <= fork.planned()
    assert not [p for p in fork.planned() if p.startswith("simulate")]


def test_a_job_on_other_packages_than_the_locks_exits(fork) -> None:
    fork.edit("envs/requirements.lock", "numpy==", "numpy==9.9+")
    fork.path("results/tiny/validate/ibu.json").unlink()
    done = fork.call("results/tiny/validate/ibu.json", "--cores", "1", "--configfile", "study.yaml")
    assert done.returncode != 0
    logs = [p.read_text(encoding="utf-8") for p in fork.path("results/tiny/logs").rglob("*.log")]
    said = [line for log in logs for line in log.splitlines() if "is installed, envs/requirements.lock has 9.9" in line]
    assert said
    assert all("StaleError: numpy" in line for line in said)
