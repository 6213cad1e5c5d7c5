"""A new study begins with a commented config, and with the workflow where the folder has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import uproot

from truthward.cli import new_study
from truthward.cli.check import first_look
from truthward.cli.main import main
from truthward.errors import ConfigError
from truthward.run import workflow
from truthward.run.provenance import Record
from truthward.study import checks


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("template", new_study.templates())
def test_a_template_keeps_its_comments_and_is_valid(here, template) -> None:
    assert new_study.run("mine", template, None) == 0
    made = (here / "mine.yaml").read_text().splitlines()
    original = new_study.templates()[template].read_text().splitlines()
    changed = [(old, new) for old, new in zip(original, made, strict=True) if old != new]
    assert [new for old, new in changed if not old.startswith("#")] == ["study: mine"]
    assert all("mine.yaml" in new for old, new in changed if old.startswith("#"))
    assert checks.load(here / "mine.yaml").study == "mine"


def test_the_workflow_is_laid_down_once(here, root, capsys) -> None:
    assert main(["new-study", "one", "--template", "tiny"]) == 0
    assert "This folder had no workflow" in capsys.readouterr().out
    for name in ("Snakefile", "config.yaml", "rules/unfold.smk", "workflow/scripts/unfold.py",
                 "workflow/report/workflow.rst", "profiles/slurm/config.yaml"):  # fmt: skip
        assert (here / name).read_bytes() == (root / name).read_bytes()
    assert workflow.changed(here) == []
    (here / "rules" / "unfold.smk").write_text("mine")
    (here / "config.yaml").write_text("mine")
    (here / "rules" / "report.smk").unlink()
    assert main(["new-study", "two", "--template", "tiny"]) == 0
    assert "no workflow" not in capsys.readouterr().out
    assert (here / "rules" / "unfold.smk").read_text() == "mine"
    assert workflow.changed(here) == ["rules/report.smk", "rules/unfold.smk"]


def test_it_says_what_comes_next(here, capsys) -> None:
    assert main(["new-study", "mine", "--output", "other.yaml"]) == 0
    said = capsys.readouterr().out
    assert "Give the paths of your files in other.yaml: samples.simulation.read.files, samples.data.read.files" in said
    assert "snakemake --cores all --configfile other.yaml" in said
    assert "truthward watch results/mine" in said
    assert main(["new-study", "toy", "--template", "tiny"]) == 0
    assert "Give the paths" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "template", "output", "said"),
    [
        ("a/b", "tiny", None, "NAME: 'a/b' is not a valid name"),
        ("x" * 65, "tiny", None, "64 characters at most"),
        ("mine", "tinny", None, r"--template: 'tinny' is not one of complete, .*\(did you mean 'tiny'\?\)"),
        ("mine", "tiny", Path("there.yaml"), "there.yaml: exists already, so nothing was written"),
        ("mine", "tiny", Path("no/x.yaml"), "there is no folder no"),
    ],
)
def test_what_cannot_be_written_is_refused(here, name, template, output, said) -> None:
    (here / "there.yaml").write_text("kept")
    with pytest.raises(ConfigError, match=said):
        new_study.run(name, template, output)
    assert [path.name for path in here.iterdir()] == ["there.yaml"]
    assert (here / "there.yaml").read_text() == "kept"


@pytest.mark.parametrize(
    ("name", "said"),
    [("Snakefile", "the Snakefile of another workflow"), ("config.yaml", "the workflow needs this name")],
)
def test_files_of_something_else_are_left_alone(here, name, said) -> None:
    (here / name).write_text("rule all:\n")
    with pytest.raises(ConfigError, match=said):
        new_study.run("mine", "tiny", None)
    assert [path.name for path in here.iterdir()] == [name]


@pytest.fixture
def files(here):
    """Simulation and data as flat trees with other names than columns, data without weights."""
    rng = np.random.default_rng(6)
    for name, size in (("mc", 3000), ("data", 1000)):
        truth = rng.gamma(3.0, 10.0, size)
        columns = {"event": np.arange(size), "jet_m": truth * rng.normal(1, 0.1, size)}
        columns |= {"gen_jet_m": truth, "weight": np.full(size, 0.5)} if name == "mc" else {}
        with uproot.recreate(here / f"{name}.root") as made:
            made.mktree("t", {k: v.dtype for k, v in columns.items()}).extend(columns)
    return here


def test_a_config_is_made_from_files(files, capsys) -> None:
    assert main(["new-study", "mine", "mc.root", "--data", "data.root"]) == 0
    said = capsys.readouterr().out
    assert "mine.yaml is made from the files" in said
    assert "Give the paths" not in said
    config = checks.load(files / "mine.yaml")
    assert config.samples["simulation"].read["branches"] == {
        "truth_jet_m": "gen_jet_m",
        "reco_jet_m": "jet_m",
        "weight": "weight",
        "event": "event",
    }
    assert config.samples["data"].read["branches"] == {"reco_jet_m": "jet_m", "event": "event"}
    observable = config.observables["jet_m"]
    assert observable.range[0] <= 2
    assert 70 < observable.range[1] < 200
    assert 4 < len(observable.published) < 13
    rows, figures, problems = first_look.look(config, Record("check", {}, "", 1))
    assert problems == []
    assert rows[0] == ("simulation", "2000", "2000", "2000", "2000", "1000")
    assert rows[1] == ("data", "1000", "", "1000", "", "1000")
    assert [path.name for path in figures] == ["response.png", "data_over_simulation.png"]
    assert all((files / path).is_file() for path in figures)


def test_an_expression_is_an_observable(files) -> None:
    assert main(["new-study", "mine", "mc.root", "--observable", "half=gen_jet_m / 2:jet_m / 2"]) == 0
    config = checks.load(files / "mine.yaml")
    assert list(config.observables) == ["half"]
    assert config.samples["data"].read["files"] == ["data.root"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mc.root", "--observable", "x"], "x is no pair of branches; pairs: jet_m; or write x=EXPRESSION"),
        (["mc.root", "--observable", "x=gen_jet:jet_m"], "no branch gen_jet, needed for truth_x"),
        (["mc.root", "--observable", "1=jet_m"], "'1=jet_m' is not valid; write NAME=EXPRESSION or NAME=TRUTH:RECO"),
        (["data.root"], "no pair of branches was found"),
        (["none.root"], "none.root: no such file"),
        (["mc.root", "--tree", "s"], "--tree: no tree s; there are: t"),
        (["mc.root", "--template", "tiny"], "--template: the config is made from the files"),
        (["mc.root", "--preset", "nano"], "no preset 'nano'; nearest names: pfnano, nanoaod"),
        (["--rows", "jets"], "--rows: it describes files, but none is given"),
    ],
)
def test_mistakes_with_files_write_nothing(files, capsys, words, message) -> None:
    assert main(["new-study", "mine", *words]) == 1
    assert message in capsys.readouterr().err
    assert not (files / "mine.yaml").exists()
    assert not (files / "Snakefile").exists()


def test_real_files_give_configs_that_are_valid(here, shared_data, capsys) -> None:
    for name in ("nanoAOD_2015_CMS_Open_Data_ttbar", "nano_tt_v15", "delphes", "uproot-issue-123b"):
        file = str(shared_data / f"{name}.root")
        assert main(["new-study", "mine", file, "--data", file, "--rows", "jets"]) == 0
        config = checks.load(here / "mine.yaml")
        assert config.samples["data"].closure
        rows, _, problems = first_look.look(config, Record("check", {}, "", 1))
        assert problems == []
        assert int(rows[0][1]) > 100
        assert rows[1][3] == rows[0][3]
        (here / "mine.yaml").unlink()


def test_inspect_shows_files(files, capsys) -> None:
    assert main(["inspect", "mc.root", "data.root"]) == 0
    said = capsys.readouterr().out
    assert "mc.root: tree t, 3,000 entries, 4 branches" in said
    assert "truth_jet_m: gen_jet_m    reco_jet_m: jet_m" in said
    assert "data.root, t: 1,000 entries; lacks gen_jet_m, weight" in said
    assert main(["inspect", "mc.root", "--match", "GEN"]) == 0
    assert "jet_m " not in capsys.readouterr().out.partition("Truth and reco")[0].replace("gen_jet_m ", "")
