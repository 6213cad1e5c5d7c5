"""The page of a publication in a browser: its size, how fast it opens, and how fast it answers.

Random events of 14 observables with 100 replicas. The page is opened from disk in a headless Chromium on this machine.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _common import HERE, QUICK, report

sys.path.insert(0, str(HERE.parent))

from tests.publish.browser import Browser, found
from truthward.events.unfolded import family, weight_columns, write_unfolded
from truthward.publish.explore.page import NAME
from truthward.publish.stage import publish
from truthward.run.provenance import Record
from truthward.study.observable import Observable

FAMILIES = {
    "data_bootstrap": family("data_bootstrap", 45),
    "mc_bootstrap": family("mc_bootstrap", 45),
    "initialisation": family("initialisation", 5),
    **{f"systematic:s{k}": family(f"systematic:s{k}", 1) for k in range(5)},
}
OBSERVABLES = [Observable(name=f"x{k}", range=(0.0, 12.0), bins=12) for k in range(14)]
SIZES = (20_000, 40_000) if QUICK else (20_000, 100_000, 200_000)
REPEATS = 1 if QUICK else 5
READY = "document.body && document.body.dataset.ready && document.getElementById('figures').dataset.updates"
# What a physicist does: another cut, and the whole page is new.
ANSWER = """(async () => {
  const field = document.getElementById("selection"), figures = document.getElementById("figures");
  const before = figures.dataset.updates;
  field.value = "x1 > 2 & x2 < 9";
  const start = performance.now();
  field.dispatchEvent(new Event("input", { bubbles: true }));
  while (figures.dataset.updates === before) await new Promise((resolve) => setTimeout(resolve, 2));
  return performance.now() - start;
})()"""


def published(folder: Path, events: int) -> Path:
    """A publication of random events; returns its page."""
    random = np.random.default_rng(1)
    rows = {f"truth_{o.name}": random.gamma(4, 1, events) for o in OBSERVABLES} | {"event_id": np.arange(events)}
    nominal = random.gamma(4, 0.25, events)
    for name in weight_columns(FAMILIES):
        poisson = random.poisson(1, events) if "mc_bootstrap" in name else 1
        rows[name] = nominal * poisson * (1 + 0.1 * random.standard_normal(events))
    options = {"method": "omnifold", "kind": "omnifold", "history": [], "iterations": 1, "joint": True}
    names = [o.name for o in OBSERVABLES]
    record = Record.for_tests()
    write_unfolded(folder / "u.parquet", [rows], observables=names, families=FAMILIES, record=record, **options)
    verdict: Any = {"verdict": "good", "reasons": [], "without_truth": True}
    words = {"study": "random", "licence": "CC0-1.0", "fiducial": "all", "example": None}
    publish(
        folder / "u.parquet",
        directory=folder / "publication",
        observables=OBSERVABLES,
        verdict=verdict,
        record=record,
        **words,
    )
    return folder / "publication" / NAME


def measured(page: Path, browser: Browser) -> dict[str, float]:
    """Seconds from the call to the first figure, to the bands, and of an answer without the wait for more typing."""
    browser.open(page)
    browser.wait(READY)
    assert browser.messages == [], browser.messages
    marks = browser.evaluate("performance.getEntriesByType('mark').map((m) => m.startTime / 1000)")
    return {"figure": marks[0], "band": marks[1], "answer": browser.evaluate(ANSWER) / 1000 - 0.25}


def main() -> None:
    """Measure each size, print a line each, report."""
    program = found()
    if program is None:
        sys.exit("explore: needs Chromium (Debian's package: chromium)")
    figures: dict[str, Any] = {"replicas": sum(f.count for f in FAMILIES.values()), "observables": len(OBSERVABLES)}
    figures["sizes"] = {}
    for events in SIZES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            page = published(folder, events)
            with Browser(program, folder) as browser:
                runs = [measured(page, browser) for _ in range(REPEATS)]
            # Other work on the machine only adds to these times.
            fastest = {key: min(run[key] for run in runs) for key in runs[0]}
            sizes = {
                "mb": page.stat().st_size / 1e6,
                "parquet_mb": page.with_name("events.parquet").stat().st_size / 1e6,
            }
            figures["sizes"][str(events)] = sizes | fastest
        print(f"{events} events:", figures["sizes"][str(events)])
    report("explore", figures)


if __name__ == "__main__":
    main()
