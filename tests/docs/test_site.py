"""The site builds, and a link that leads nowhere ends its build."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT

PARTS = ("docs", "src", "benchmarks", "workflow", "mkdocs.yml", "config.yaml", "CHANGELOG.md", "CONTRIBUTING.md")


def build(folder: Path) -> subprocess.CompletedProcess:
    """The site, by the command of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (words,) = re.findall(r"^\t.*\$\(BIN\)/mkdocs (build.*)$", makefile, flags=re.MULTILINE)
    command = [sys.executable, "-m", "mkdocs", *words.split()]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(folder / "src")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of what the site is made of."""
    folder = tmp_path_factory.mktemp("site")
    ignore = shutil.ignore_patterns("__pycache__", ".*")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=ignore)
        else:
            shutil.copy(source, folder / part)
    return folder


def test_site_builds_and_asks_for_nothing_from_the_net(checkout) -> None:
    done = build(checkout)
    assert done.returncode == 0, done.stderr[-3000:]
    pages = sorted((checkout / "site").rglob("*.html"))
    assert len(pages) > 30
    asked = r'<(?:script|img|iframe)[^>]+src="https?:|<link[^>]+(?:stylesheet|preconnect|preload)[^>]+href="https?:'
    assert [page.name for page in pages if re.search(asked, page.read_text(encoding="utf-8"))] == []
    assert [page.name for page in pages if re.search(r"{{ \w+ }}|--8<--", page.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("link", ["concepts.md#nothing", "nowhere.md"])
def test_link_that_leads_nowhere_is_found(checkout, link) -> None:
    page = checkout / "docs" / "glossary.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(f"{text}\n[a link]({link})\n", encoding="utf-8")
    done = build(checkout)
    page.write_text(text, encoding="utf-8")
    assert done.returncode != 0
    assert link in done.stderr
