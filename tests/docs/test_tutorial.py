"""The tutorial runs as it stands: a reader who copies every block gets what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.docs.blocks import BLOCKS, Block, blocks_of
from tests.workflow.conftest import ROOT, Clone, new_clone

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]
PAGE = ROOT / "docs" / "tutorial.md"
LONGEST = 1500
"""Seconds that a block may take on a machine that does other things besides."""


def run(block: Block, clone: Clone) -> str:
    """Run a block as its reader would, and return what it prints."""
    environment = os.environ | {"PYTHONPATH": str(clone.path("src")), "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    environment["PATH"] = f"{clone.path('bin')}:{Path(sys.executable).parent}:{environment['PATH']}"
    shells = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
    command = [*shells[block.language], block.text]
    done = subprocess.run(
        command, cwd=clone.folder, env=environment, capture_output=True, text=True, timeout=LONGEST, check=False
    )
    assert done.returncode == 0, f"{block}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def followed(tmp_path_factory) -> tuple[Clone, str]:
    """A checkout in which the tutorial was followed to its end, and all that was printed."""
    clone = new_clone(tmp_path_factory.mktemp("tutorial") / "clone")
    # The command, of the clone's own source.
    command = clone.path("bin/truthward")
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m truthward.cli "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    printed = []
    for block in blocks_of(PAGE):
        if block.title:
            clone.path(block.title).write_text(block.text, encoding="utf-8")
        elif block.language != "text":
            printed.append(run(block, clone))
    return clone, "\n".join(printed)


def test_the_verdicts_are_those_of_the_page(followed) -> None:
    (said,) = (block.text for block in blocks_of(PAGE) if block.language == "text")
    lines = [line for line in said.splitlines() if re.match(r"\w+: \w+$", line)]
    assert len(lines) == 2
    assert [line for line in lines if line not in followed[1].splitlines()] == []


def test_files_of_the_page_are_there(followed) -> None:
    clone, _ = followed
    named = set(re.findall(r"`(results/tutorial/[\w./]+)`", PAGE.read_text(encoding="utf-8")))
    assert len(named) > 5
    assert [name for name in sorted(named) if not clone.path(name).exists()] == []


def test_tables_are_cross_sections_in_the_bins_that_were_declared(followed) -> None:
    clone, _ = followed
    folder = clone.path("results/tutorial/publication/hepdata")
    table = yaml.safe_load((folder / "1_m.yaml").read_text(encoding="utf-8"))
    (edges,) = (variable["values"] for variable in table["independent_variables"])
    published = yaml.safe_load(clone.path("study.yaml").read_text(encoding="utf-8"))["observables"]["m"]["published"]
    assert [each["low"] for each in edges] + [edges[-1]["high"]] == published
    assert clone.path("submission.tar.gz").stat().st_size > 1000


def test_python_of_other_pages_runs_on_the_result(followed) -> None:
    """They speak of the default study, which takes long; the tutorial's has the same observable."""
    clone, _ = followed
    asked = [b for b in BLOCKS if b.language == "python" and "results/zjets" in b.text]
    assert len(asked) == 3
    for block in asked:
        text = block.text.replace("results/zjets", "results/tutorial")
        run(Block(block.page, block.line, block.language, "", text), clone)
