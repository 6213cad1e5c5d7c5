"""A job uses no input that differs from what its rule wrote, and records what it made when all of it is there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from truthward.run import checksums, digests

# A job takes over standard output and exits on its own errors: each has a process of its own.
SCRIPT = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
from truthward.run import checksums
from truthward.errors import SpaceError
from truthward.run.job import Job

def full(*_):
    raise SpaceError("no space left")

given = json.loads(sys.argv[1])
given["params"] = SimpleNamespace(**given["params"])
with Job(SimpleNamespace(**given)) as job:
    assert not any(Path(p).with_name(f".{Path(p).name}.sha256").exists() for p in job.output), "an old record"
    job.state.mkdir(parents=True)
    for path in job.output:
        Path(path).write_text("".join(Path(p).read_text() for p in job.input))
    if job.spec.get("full"):
        checksums.record = full
    if job.spec.get("fails"):
        raise RuntimeError("half way")
"""


class Rule:
    """One rule whose adapter joins its inputs into each of its outputs."""

    def __init__(self, folder: Path) -> None:
        self.adapter = folder / "scripts" / "join.py"
        self.adapter.parent.mkdir()
        self.adapter.write_text("import truthward.study.seeds\n")
        self.log = folder / "join.log"
        self.code = digests.code(self.adapter)

    def run(self, inputs: list[Path], outputs: list[Path], **spec) -> subprocess.CompletedProcess:
        given = {
            "rule": "join",
            "scriptdir": str(self.adapter.parent),
            "threads": 1,
            "wildcards": {},
            "resources": {},
            "params": {"spec": spec, "code": self.code},
            "input": list(map(str, inputs)),
            "output": list(map(str, outputs)),
            "log": [str(self.log)],
        }
        path = os.pathsep.join([str(digests.PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        return subprocess.run(
            [sys.executable, "-c", SCRIPT, json.dumps(given)],
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=100,
        )


@pytest.fixture
def rule(tmp_path) -> Rule:
    return Rule(tmp_path)


def test_outputs_are_recorded_and_verified_by_the_next_job(rule, tmp_path) -> None:
    own, first, second = tmp_path / "own.root", tmp_path / "first.json", tmp_path / "second.json"
    own.write_text("abc")
    assert rule.run([own], [first]).returncode == 0
    assert "own.root: no checksum is recorded" in rule.log.read_text()
    assert "rule join\n" in checksums.beside(first).read_text()
    assert rule.run([first], [second]).returncode == 0
    assert "1 inputs are what their rules wrote" in rule.log.read_text()
    first.write_text("abd")
    second.unlink()
    done = rule.run([own, first], [second])
    assert done.returncode == 1
    assert done.stderr.startswith("CorruptError: ")
    assert "first.json: its content is not what rule join wrote" in done.stderr
    assert "first.json: its content" in rule.log.read_text()
    assert not second.exists()


def test_a_job_that_fails_leaves_no_record_and_its_resume_state(rule, tmp_path) -> None:
    own, made = tmp_path / "own.root", tmp_path / "made.json"
    own.write_text("abc")
    assert rule.run([own], [made]).returncode == 0
    assert [p.name for p in tmp_path.glob(".made.json.state/*/*")] == ["kept"]
    assert rule.run([own], [made], fails=True).returncode != 0
    assert not checksums.beside(made).exists()
    assert list((tmp_path / ".made.json.state").iterdir())


def test_a_record_that_cannot_be_written_fails_the_job(rule, tmp_path) -> None:
    own, made = tmp_path / "own.root", tmp_path / "made.json"
    own.write_text("abc")
    done = rule.run([own], [made], full=True)
    assert done.returncode == 1
    assert done.stderr == "SpaceError: no space left\n"
    assert "SpaceError: no space left" in rule.log.read_text()
    assert list((tmp_path / ".made.json.state").iterdir())


def test_other_code_than_the_schedulers_is_refused_before_anything_is_touched(rule, tmp_path) -> None:
    own, made = tmp_path / "own.root", tmp_path / "made.json"
    own.write_text("abc")
    assert rule.run([own], [made]).returncode == 0
    rule.adapter.write_text("import truthward.study.seeds\nx = 1\n")
    done = rule.run([own], [made])
    assert done.returncode == 1
    assert done.stderr.startswith("StaleError: rule join: the scheduler planned with")
    assert made.exists()
    assert checksums.beside(made).exists()
