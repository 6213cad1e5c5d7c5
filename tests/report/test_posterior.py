"""The figure of posteriors: what it says of ranks that are not flat, and of a method that states no posterior."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.text import Text

from truthward.report import posterior, style
from truthward.run.provenance import Record
from truthward.study.observable import Observable
from truthward.validate.posterior import uniformity

OBSERVABLES = [
    Observable(name=f"x{i}", label=rf"some observable $\nu_{i}$", unit="GeV", range=(0.0, 1.0)) for i in range(6)
]


def validated(conditional: bool = True) -> dict:
    """Draws that are a little too narrow, so that the ranks pile up at both ends."""
    u = np.random.default_rng(1).beta(0.8, 0.8, (7, 5000))
    each = [uniformity((100 * v).astype(int), 99, np.ones(5000), seed=1) for v in u]
    ranks = dict(zip((o.name for o in OBSERVABLES), each, strict=False))
    used = {"events": 40_000, "used": 5000}
    return {"conditional": conditional, "draws": 99, "ranks": ranks, "tarp": each[-1], "used": used}


@pytest.mark.parametrize("count", [1, 3, 6])
def test_there_is_a_panel_for_each_observable_and_one_for_all(count, tmp_path, assert_nothing_is_covered) -> None:
    content = validated()
    figure = posterior.calibration("generative", content, OBSERVABLES[:count])
    style.save(figure, tmp_path / "p.png", Record.for_tests())
    assert_nothing_is_covered(figure)
    assert len(figure.axes) == count + 1
    heights = figure.axes[0].patches[0].get_data().values
    np.testing.assert_allclose(heights, content["ranks"]["x0"]["fractions"])
    assert heights[[0, -1]].min() > 1.1 > heights[8:12].max()
    line = figure.axes[-1].lines[-1]
    coverage = content["tarp"]["coverage"]
    np.testing.assert_allclose(line.get_ydata(), np.subtract(coverage["value"], coverage["credibility"]))
    text = " ".join(t.get_text() for t in figure.findobj(Text))
    assert f"spread {content['tarp']['spread']['value']:.3f}" in text
    assert "5,000 simulated events that no training has seen" in text


def test_a_map_is_said_to_state_no_posterior(assert_nothing_is_covered) -> None:
    figure = posterior.calibration("bridge", validated(conditional=False), OBSERVABLES[:1])
    assert_nothing_is_covered(figure)
    assert any("states no posterior" in t.get_text() for t in figure.findobj(Text))
