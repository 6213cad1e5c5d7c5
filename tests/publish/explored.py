"""Small results whose page is tested, and what the package says of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from truthward.events.expression import Expression
from truthward.events.unfolded import Family, Histogram, Unfolded, family, write_unfolded
from truthward.publish.explore import page as explore
from truthward.publish.stage import publish
from truthward.run.provenance import Record
from truthward.study.observable import Observable

FAMILIES = {
    "data_bootstrap": family("data_bootstrap", 8),
    "initialisation": replace(family("initialisation", 3), statement="error_of_mean"),
    "systematic:scale": family("systematic:scale", 2),
    "systematic:a_name_that_is_far_too_long_for_a_phone": family(
        "systematic:a_name_that_is_far_too_long_for_a_phone", 1
    ),
    "combined": family("combined", 4),
}
OBSERVABLES = [
    Observable(name="m", label="jet mass $m$", unit="GeV", range=(0.0, 60.0), bins=12, published=(0, 10, 15, 20, 60)),
    Observable(name="zg", label=r"$z_{\mathrm{g}}$", range=(0.0, 0.5), bins=5),
]
VERDICT = {"verdict": "warnings", "reasons": ["the first reason"], "without_truth": True}
EVERYWHERE = 1e30
"""Beyond all edges: where events that are not selected are put."""


def events(n: int, seed: int = 1) -> dict[str, np.ndarray]:
    """Truth columns; z_g has values on edges of bins."""
    random = np.random.default_rng(seed)
    m, pt = random.gamma(4, 5, n), 200 + random.exponential(60, n)
    return {"truth_m": m, "truth_jet_pt": pt, "truth_zg": random.integers(0, 51, n) / 100, "event_id": np.arange(n)}


def weighted(columns: dict, names: list[str], seed: int = 2) -> dict:
    """With weights; a systematic is near the nominal, where rounding would show."""
    random, n = np.random.default_rng(seed), columns["event_id"].size
    nominal = random.gamma(2, 0.5, n)
    found = {name: nominal * random.poisson(1, n) for name in names}
    found |= {name: nominal * (1 + 1e-4 * columns["truth_m"]) for name in names if "systematic" in name}
    return columns | found | {names[0]: nominal}


def written(path, rows, *, joint=True, method="omnifold", families: dict[str, Family] = FAMILIES, extra=None):
    options = {"method": method, "kind": method, "history": [], "iterations": 4, "extra": extra}
    record = Record.for_tests()
    write_unfolded(path, rows, observables=["m", "zg"], joint=joint, families=families, record=record, **options)
    return path


def published(unfolded, folder, **changes):
    options = {"study": "zjets", "licence": "CC-BY-4.0", "fiducial": "pT(jet) > 200 GeV", "example": None}
    options |= {"observables": OBSERVABLES, "verdict": VERDICT, "record": Record.for_tests()}
    publish(unfolded, directory=folder, **(options | changes))
    return folder / explore.NAME


def expected(sample: Unfolded, expression: str, edges, selection: str = "True", **more) -> Histogram:
    """The package's histogram of an expression, in its own grammar."""

    def values(truth):
        chosen = np.broadcast_to(Expression(selection).evaluate(truth), truth["m"].shape)
        return np.where(chosen, Expression(expression).evaluate(truth), EVERYWHERE)

    return sample.histogram(values, edges, **more)


def agree(table, histogram: Histogram, families: list[str] | None = None) -> None:
    """Values, errors of each family and of all, and the covariance agree to 1e-6 of themselves."""
    names = histogram.parts if families is None else families
    parts = {name: histogram.families[name].covariance(histogram.replicas[name], histogram.nominal) for name in names}
    whole = sum(parts.values())
    sigma = np.sqrt(np.diag(whole))
    assert np.allclose(table.columns["value"], histogram.nominal, rtol=1e-6, atol=0)
    assert np.allclose(table.columns["total"], sigma, rtol=1e-6, atol=0)
    for name, part in parts.items():
        assert np.allclose(table.columns[name], np.sqrt(np.diag(part)), rtol=1e-6, atol=0), name
    assert np.all(np.abs(table.covariance - whole) <= 1e-6 * np.outer(sigma, sigma))
