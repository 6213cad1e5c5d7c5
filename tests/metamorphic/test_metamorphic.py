"""Laws: no unit, tail, far value, order or split of events changes a result, of any method, model, calibrator or judge.

What retraining does with another seed is the measure of what may change. `benchmarks/metamorphic.py` has all
transformations for all of them.
"""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest
import torch

from tests.metamorphic.measure import (
    METHODS,
    area,
    calibrated,
    distance,
    generative,
    judged,
    measured_response,
    prior,
    right_area,
    unfolded,
    without_atoms,
)
from tests.metamorphic.transformations import BINS, FEW, TRANSFORMATIONS, toy
from truthward.learn.quantile import QuantileTransform
from truthward.study import plugins

KINDS = plugins.kinds("unfold")
OTHERS = [m for m in plugins.kinds("models") if m != METHODS["generative"]["model"]["kind"]]
FAR = "one event at 1e+09, data"
NEARER = [n for n in TRANSFORMATIONS if n.startswith(("one event at 1000", "one event at 1e+06"))]
IN_CI = [("omnifold", n) for n in TRANSFORMATIONS if n not in NEARER] + [("ibu", n) for n in TRANSFORMATIONS]
IN_CI += [(kind, n) for kind in KINDS if kind not in ("omnifold", "ibu") for n in FEW]


@cache
def original():
    return toy()


@cache
def reference(kind: str, model: str | None, name: str | None = None, seed: int = 1) -> np.ndarray:
    """Unfolded bins of the toy, or of what the transformation is compared with."""
    options = METHODS.get(kind, {}) if model is None else generative(model)
    return unfolded(kind, options, original() if name is None else without_atoms(name, original()), seed)


@cache
def tolerance(kind: str, model: str | None = None) -> float:
    """Three times the noise of retraining, where that is less than half of what a blind method is off; for a method
    without noise, a tenth of a statistical error."""
    found = [reference(kind, model, seed=s) for s in (1, 2, 3)]
    noise = max(distance(a, b) for a, b in itertools.combinations(found, 2))
    blind = distance(prior(original()), found[0])
    assert noise < 0.25 * blind, "the noise must not hide a method that is blind"
    return max(min(3.0 * noise, 0.5 * blind), 0.1)


@pytest.mark.parametrize(("kind", "name"), IN_CI)
def test_a_method_does_not_see_the_transformation(kind, name):
    found = unfolded(kind, METHODS.get(kind, {}), TRANSFORMATIONS[name](original()), 1)
    expected = reference(kind, None, name if without_atoms(name, original()) is not original() else None)
    # The binned method chooses its bins anew where an atom outside of the range joins the first of them.
    rebinned = kind == "ibu" and name.endswith("-999")
    assert distance(found, expected) < (1.0 if rebinned else tolerance(kind)), (found.round(1), expected.round(1))


@pytest.mark.parametrize("model", OTHERS)
@pytest.mark.parametrize("name", ["unit 1e-12", FAR])
def test_a_generative_model_does_not_see_the_transformation(model, name):
    found = unfolded("generative", generative(model), TRANSFORMATIONS[name](original()), 1)
    assert distance(found, reference("generative", model)) < tolerance("generative", model)


@pytest.mark.parametrize("name", [n for n in TRANSFORMATIONS if not n.endswith("truth")])
def test_the_judge_finds_the_analytic_area(name):
    share = next((s for s in (0.01, 0.3) if name.startswith(f"{s:.0%}")), 0.0)
    # Two standard deviations of an AUC of 0.76 with 2,700 events each, and what a trained classifier lacks.
    assert area(TRANSFORMATIONS[name](judged()), 1, epochs=6) == pytest.approx(right_area(share), abs=0.02)


@pytest.mark.parametrize("kind", plugins.kinds("calibrate"))
@pytest.mark.parametrize("name", ["unit 1e-12", "unit 1e+12", "one event at 1e+09, simulation", FEW[3], FEW[4]])
def test_a_calibrator_does_not_see_the_transformation(kind, name):
    again = [calibration(kind, seed) for seed in (1, 2)]
    noise = np.sqrt(np.mean((again[0] - again[1]) ** 2))
    assert noise < 0.2 * again[0].std(), "the noise must not hide a calibrator that is blind"
    moved = np.sqrt(np.mean((calibrated(kind, name, measured_response(), 1) - again[0]) ** 2))
    assert moved < max(3.0 * noise, 0.1 * again[0].std())


@cache
def calibration(kind: str, seed: int) -> np.ndarray:
    return calibrated(kind, None, measured_response(), seed)


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_the_bins_are_the_same_events_before_and_after(name):
    """Control of the transformations: what is compared is the same question."""
    changed, before = TRANSFORMATIONS[name](original()), without_atoms(name, original())
    both = [prior(t) for t in (before, changed)]
    assert both[0].shape == (BINS,)
    # One event may have left its bin.
    assert distance(both[1], both[0]) < 0.1


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_what_generative_models_make_knows_no_unit(unit):
    """The invertible face: the same z whatever the unit, also of a single event beside an atom."""
    x = torch.cat([torch.zeros(500), 0.2 + torch.rand(500, generator=torch.Generator().manual_seed(1))])
    x = torch.cat([x, torch.tensor([-1.0])])[:, None]
    u = torch.full_like(x, 0.5)
    reference = QuantileTransform(1).fit(x)
    found = QuantileTransform(1).fit(unit * x)
    torch.testing.assert_close(found(unit * x, u), reference(x, u), rtol=0, atol=1e-4)
    z = torch.linspace(-3.0, 3.0, 200)[:, None]
    torch.testing.assert_close(found.inverse(z) / unit, reference.inverse(z), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("far", [1e6, 1e9])
def test_one_far_value_leaves_what_is_generated_elsewhere(far):
    x = torch.randn(2700, 1, generator=torch.Generator().manual_seed(2))
    odd = x.clone()
    odd[7] = far
    z = torch.randn(20000, 1, generator=torch.Generator().manual_seed(3))
    found, expected = (QuantileTransform(1).fit(v).inverse(z) for v in (odd, x))
    assert (found > 100.0).double().mean() < 3.0 / 2700, "the share of the last events, and no more"
    inside = found < 100.0
    torch.testing.assert_close(found[inside], expected[inside], rtol=0, atol=0.5)
    assert (found - expected)[inside].abs().mean() < 2e-3
