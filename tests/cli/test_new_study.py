"""A new study begins with a commented config, and with the workflow where the folder has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from truthward.cli import new_study
from truthward.cli.main import main
from truthward.errors import ConfigError
from truthward.run import workflow
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
