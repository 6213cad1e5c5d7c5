"""A browser for the tests of the page, and the page's fields as a physicist fills them."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.publish.browser import Browser, found
from tests.publish.explored import FAMILIES, events, published, weighted, written
from truthward.events.unfolded import Unfolded, weight_columns


@dataclass(frozen=True)
class Table:
    """What the page gives as CSV. covariance: (B, B). columns: all others by name, (B,)."""

    notes: str
    columns: dict[str, np.ndarray]
    covariance: np.ndarray

    @property
    def edges(self) -> np.ndarray:
        return np.append(self.columns["low"], self.columns["high"][-1])


@dataclass(frozen=True)
class Page:
    """An open page. Fields are named by their ids, with _ for -."""

    browser: Browser

    def ask(self, **fields: str | bool | float) -> None:
        """Fill fields as typing does, and wait until the page has answered."""
        before = self.updates()
        for name, value in fields.items():
            self.browser.evaluate(f"({_FILL})({json.dumps(name.replace('_', '-'))}, {json.dumps(value)})")
        self.browser.wait(f"Number(document.getElementById('figures').dataset.updates) > {before}")

    def bins(self, kind: str, **fields: str | float) -> None:
        """Choose the kind of bins: published, number or edges."""
        self.browser.evaluate(f"document.querySelector('input[value={kind}]').checked = true")
        self.ask(**(fields or {"log_y": False}))

    def band(self, families: list[str]) -> None:
        """Leave only these families in the band."""
        chosen = json.dumps(families)
        boxes = "document.querySelectorAll('input[name=family]')"
        self.browser.evaluate(f"{boxes}.forEach((box) => (box.checked = {chosen}.includes(box.value)))")
        self.ask(log_y=False)

    def updates(self) -> int:
        return int(self.browser.evaluate("document.getElementById('figures').dataset.updates || 0"))

    def text(self, name: str) -> str:
        return self.browser.evaluate(f"document.getElementById({json.dumps(name)}).innerText")

    def save(self, kind: str) -> Path:
        """Download csv or yaml."""
        return self.browser.downloaded(lambda: self.browser.evaluate(f"document.getElementById('{kind}').click()"))

    def table(self) -> Table:
        lines = self.save("csv").read_text(encoding="utf-8").splitlines()
        rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
        columns = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
        covariance = np.array([columns.pop(f"covariance {k}") for k in range(len(rows))])
        return Table("\n".join(line for line in lines if line.startswith("#")), columns, covariance)


_FILL = """(id, value) => {
  const field = document.getElementById(id);
  if (typeof value === "boolean") field.checked = value;
  else field.value = String(value);
  for (const kind of ["input", "change"]) field.dispatchEvent(new Event(kind, { bubbles: true }));
}"""


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator[Browser]:
    program = found()
    if program is None:
        reason = "needs Chromium, which is not installed (Debian's package: chromium)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with Browser(program, tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def show(browser) -> Any:
    """Open a page and wait until all of it is read."""

    def open_page(path: Path, **size: int) -> Page:
        browser.open(path, **size)
        browser.wait("document.body && document.body.dataset.ready")
        return Page(browser)

    yield open_page
    assert browser.messages == []


@pytest.fixture(scope="session")
def joint(tmp_path_factory):
    """Page and events of a joint result in two row groups."""
    folder = tmp_path_factory.mktemp("joint")
    names = weight_columns(FAMILIES)
    rows = [weighted(events(700, seed=k) | {"event_id": np.arange(700) + 700 * k}, names, seed=k) for k in (1, 2)]
    path = published(written(folder / "u.parquet", rows), folder / "publication", model=["systematic:scale"])
    return path, Unfolded(path.with_name("events.parquet"))
