"""The noise of drawing beside the statistical variance."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from truthward.events.families import Histogram, family
from truthward.validate.method.noise_of_draws import sampling

ENTRY = {
    "replica": "nominal:0",
    "sampling_variance": [1.0, 2.0, 3.0, 0.0],
    "counting_variance": [20.0, 40.0, 60.0, 0.0],
}


def result(replicas: int, *entries: dict) -> SimpleNamespace:
    """Of two observables in two bins each; contents of replicas at 100 +- 4 in the first bin, which has variance 16."""
    families = {"data_bootstrap": family("data_bootstrap", replicas)} if replicas else {}

    def histogram(name: str, edges: np.ndarray) -> Histogram:
        assert edges.tolist() == {"a": [-np.inf, 0.5, np.inf], "b": [-np.inf, 7.0, np.inf]}[name]
        contents = np.full((replicas, 2), 100.0)
        contents[:, 0] += 4.0 * np.sqrt(1 - 1 / replicas) * (-1.0) ** np.arange(replicas)
        return Histogram(edges, np.full(2, 100.0), {"data_bootstrap": contents}, families)

    metadata = {"history": list(entries), "watched": {"a": [0.5], "b": [7.0]}}
    return SimpleNamespace(metadata=metadata, families=families, histogram=histogram)


def test_the_variance_of_drawing_over_that_of_the_bootstraps() -> None:
    found = sampling(result(4, ENTRY))
    assert found["statistical"] == "data_bootstrap"
    assert found["share"] == pytest.approx(6.0 / 32.0)
    assert found["observables"] == pytest.approx({"a": 3.0 / 16.0, "b": 3.0 / 16.0})


@pytest.mark.parametrize("replicas", [0, 2])
def test_without_bootstraps_that_of_counting(replicas: int) -> None:
    found = sampling(result(replicas, ENTRY))
    if not replicas:
        assert found == {"statistical": "counting", "share": pytest.approx(0.05), "observables": {"a": 0.05, "b": 0.05}}
    else:
        assert found["statistical"] == "data_bootstrap"


def test_what_is_not_drawn_has_none() -> None:
    assert sampling(result(2, {"replica": "nominal:0", "yield": 1.0})) is None
    assert sampling(result(2, ENTRY | {"replica": "data_bootstrap:0"})) is None
