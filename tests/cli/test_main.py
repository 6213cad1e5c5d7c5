"""The command `truthward`: help that fits a screen, exit codes, and words instead of tracebacks."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from truthward import __version__
from truthward.cli import watch
from truthward.cli.main import main, parser
from truthward.errors import InputError
from truthward.publish import stage

COMMANDS = ["new-study", "inspect", "options", "check", "watch", "verify", "compare", "convert"]


def called(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "truthward.cli", *words]
    return subprocess.run(command, cwd=cwd, env=os.environ | {"COLUMNS": "80"}, capture_output=True, text=True)


@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS)], ids=lambda words: " ".join(words) or "all")
def test_help_fits_one_screen(words, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as end:
        main([*words, "--help"])
    assert end.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_a_command_is_valid(name, capsys) -> None:
    with pytest.raises(SystemExit):
        main([name, "--help"])
    (example,) = re.findall(r"^example:\n +truthward (.*)$", capsys.readouterr().out, flags=re.MULTILINE)
    assert parser().parse_args(shlex.split(example)).command == name


def test_every_command_is_in_the_help(capsys) -> None:
    assert main([]) == 2, "without a command the call is not valid"
    said = capsys.readouterr().err
    assert re.findall(r"^  ([a-z-]+) ", said, flags=re.MULTILINE) == COMMANDS


@pytest.mark.parametrize("words", [["no-such-command"], ["verify"], ["watch", "--seconds", "soon"], ["new-study"]])
def test_wrong_usage_has_a_code_of_its_own(words, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert "usage: truthward" in capsys.readouterr().err


def test_version_is_that_of_the_package(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"truthward {__version__}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["options", "omnifolt"], "ConfigError: 'omnifolt' is neither a section of a config nor a plug-in"),
        (["check", "none.yaml"], "ConfigError: none.yaml: "),
        (["verify", "nowhere"], "InputError: nowhere: no publication here"),
        (["watch"], "InputError: results/: there is no study here"),
        (["watch", "results/none"], "InputError: results/none: no such folder"),
        (["new-study", "1st"], "ConfigError: NAME: '1st' is not a valid name"),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(tmp_path, words, said) -> None:
    done = called(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_a_wrong_config_is_said_before_anything_is_tried(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "wrong.yaml").write_text("study: wrong\nunfold: {method: {}}\n")
    # A name that is None in sys.modules cannot be imported: what tries anything is not reached.
    monkeypatch.setitem(sys.modules, "truthward.cli.check", None)
    assert main(["check", str(tmp_path / "wrong.yaml")]) == 1
    assert capsys.readouterr().err.startswith(f"ConfigError: {tmp_path / 'wrong.yaml'}: unfold.method: ")


def test_options_are_listed_by_section_and_folder(capsys) -> None:
    assert main(["options"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"publish", "gaussian", "flat_tree", "repulsive", "flow_matching", "omnifold"} <= {
        line.split()[0] for line in lines if line.startswith("  ")
    }
    assert [line for line in lines if line.startswith("  ") and len(line.split()) < 3] == [], "each has a text"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("omnifold", ["unfold.methods.<name>", "folds: int, = 0 or >= 2, default 0"]),
        ("unfold.omnifold", ["folds: int, = 0 or >= 2, default 0"]),
        ("flat_tree", ["files: list of str, needed"]),
        ("publish", ["require: good | warnings | none, default warnings"]),
        ("unfold", ["In the config: unfold.replicas", "kind: feature_fit | generative | ibu | omnifold"]),
    ],
)
def test_options_of_one_have_type_default_and_bounds(name, said, capsys) -> None:
    assert main(["options", name]) == 0
    out = capsys.readouterr().out
    assert [text for text in said if text not in out] == []


def test_a_reader_who_stops_early_gets_no_traceback() -> None:
    command = f"{shlex.quote(sys.executable)} -m truthward.cli options | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("Sections of a config\n", "")


def test_a_publication_is_verified(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / stage.SUMS).write_text("one\ntwo\n")
    monkeypatch.setattr(stage, "verify", lambda folder: {"study": "toy"})
    monkeypatch.setattr(stage, "examine", lambda folder: ["coverage: not stated"])
    assert main(["verify", str(tmp_path)]) == 0
    assert "study toy, 2 files, all as they were published" in capsys.readouterr().out


def test_the_study_that_ran_last_is_watched(tmp_path) -> None:
    with pytest.raises(InputError, match="there is no study here"):
        watch.last_changed(tmp_path)
    for age, name in enumerate(("new", "old")):
        (tmp_path / name / "logs" / "ingest").mkdir(parents=True)
        for path in (tmp_path / name, tmp_path / name / "logs" / "ingest"):
            os.utime(path, (1e9 - age,) * 2)
    assert watch.last_changed(tmp_path).name == "new"
