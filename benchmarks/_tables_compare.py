"""Table of the benchmark of comparisons with predictions."""

from __future__ import annotations

from typing import Any

Rows = list[dict[str, Any]]


def compare(figures: dict[str, Any]) -> tuple[str, Rows]:
    """Whether p-values of the truth are uniform, and how often the simulation is rejected."""
    rows = [
        {
            "publication": block,
            "test": test if test in ("joint", "unbinned") else f"χ² of {test}",
            "toys": f["toys"],
            "truth: KS p": f"{f['ks_p']:.2f}",
            "mean p": f"{f['mean']:.2f}",
            "p < 0.1": f"{f['below_10']:.0%}",
            "simulation: p < 0.05": f"{f['simulation_rejected']:.0%}",
            "median p": f"{f['simulation_median']:.0e}",
        }
        for block, tests in figures["blocks"].items()
        for test, f in tests.items()
    ]
    caption = (
        f"Publications of {figures['data']} data events and {figures['simulated']} simulated ones in two observables, "
        f"against {figures['predicted']} independent events of the truth, and of the simulation. KS: test of uniform "
        "p-values of the truth. The first two have a method in closed form, with 30 and 12 replicas of each bootstrap "
        "and a systematic. OmniFold has a detector, three iterations, 12 replicas and no model uncertainty: what it "
        "leaves of the simulation shows in the unbinned test."
    )
    return caption, rows
