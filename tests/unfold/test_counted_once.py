"""Everything is counted once: the same criterion must hold for the right treatment and fail for none and for two.

Criterion: yield, mean and width of the unfolded sample within LIMIT analytic statistical errors of the analytic truth.
A mistake must be off by FAILS of them at least. `efficiency`, `fakes` and so on are made on purpose so large that each
is worth that much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from truthward.physics.generators.gaussian import Gaussian
from truthward.study.plugins import build
from truthward.unfold.contract import Unfolder
from truthward.unfold.inputs.arrays import NOMINAL, Inputs

LIMIT, FAILS = 4.0, 8.0
EVENTS, SIMULATED = 8000, 24000
DETECTOR = {"resolution": 0.25, "efficiency": [0.4, 0.9], "fakes": [0.0, 0.0]}
METHODS = ("omnifold", "generative", "ibu")
SMALL = {
    "omnifold": {
        "iterations": 3,
        "network": {"width": 16, "depth": 2, "activation": "silu"},
        "training": {"epochs": 6, "later_epochs": 3, "batch_size": 512, "learning_rate": 0.01},
    },
    "generative": {
        "model": {"kind": "flow_matching", "width": 24, "depth": 2, "activation": "silu"},
        "iterations": 4,
        "stop": {"rule": "fixed"},
        "draws": {"nominal": 4},
        "training": {"epochs": 8, "later_epochs": 3, "learning_rate": 0.01, "later_learning_rate": 0.002},
        "classifiers": {"ratio_epochs": 3, "side_epochs": 6, "width": 16},
    },
}


def method(name: str, **options: Any) -> Unfolder:
    return build("unfold", {"kind": name, **SMALL.get(name, {}), **options})


def sample(unfolder: Unfolder, inputs: Inputs) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """Truth x0 (n,), weights (n,) and history of the nominal unfolding."""
    result = unfolder.unfold(inputs, [NOMINAL], seed=1)
    column = NOMINAL.column(None if unfolder.joint else "x0")
    rows = list(result.rows)
    x, w = (np.concatenate([r[name] for r in rows]) for name in ("truth_x0", column))
    return x.astype(float), w, result.history


def off(x: np.ndarray, w: np.ndarray, inputs: Inputs, nature: Gaussian, *, scale: float = 1.0) -> np.ndarray:
    """(yield, mean, width) less the truth, in analytic statistical errors, (3,).

    M data events of which S are reconstructed signal have sqrt(M) / S of a relative error; the reco width v goes into
    mean and width as v and v^2 / (sqrt 2 width). The simulation adds its share by its effective size. scale: of the
    data's weights, and with them of the yield that is expected.
    """
    data, w_sim = len(inputs.data_reco), inputs.weight[inputs.pass_reco]
    truth = nature.fiducial_yield(EVENTS)
    simulated = w_sim.sum() ** 2 / (w_sim**2).sum()
    relative = np.sqrt(data * (1.0 + data / simulated)) / (truth * (1.0 - nature.miss_fraction))
    width, reco = nature.width[0], np.hypot(nature.width[0], nature.resolution[0])
    errors = relative * np.array([scale * truth, reco, reco**2 / (np.sqrt(2.0) * width)])
    mean = np.average(x, weights=w)
    # With too much subtracted the variance may be negative.
    found = np.array([w.sum(), mean, np.sqrt(max(np.average((x - mean) ** 2, weights=w), 0.0))])
    return (found - [scale * truth, nature.mean[0], width]) / errors


def closes(deviation: np.ndarray) -> bool:
    return bool((np.abs(deviation) < LIMIT).all())


def fails(deviation: np.ndarray) -> bool:
    return bool(np.abs(deviation).max() > FAILS)


def unfolds(name: str, inputs: Inputs, nature: Gaussian, **options: Any) -> np.ndarray:
    x, w, _ = sample(method(name, **options), inputs)
    return off(x, w, inputs, nature)


def weighted(inputs: Inputs, mask: np.ndarray, factor: float) -> Inputs:
    """The inputs with the weights of some simulated events scaled: 0 for forgotten, 2 for counted twice."""
    return replace(inputs, weight=np.where(mask, factor * inputs.weight, inputs.weight))


Toy = Callable[..., tuple[Inputs, Gaussian]]


@pytest.fixture
def make(toy: Toy) -> Toy:
    def made(*, seed: int = 1, **options: Any) -> tuple[Inputs, Gaussian]:
        inputs, nature = toy(events=EVENTS, simulated=SIMULATED, seed=seed, **DETECTOR | options)
        return replace(inputs, observables=[o.model_copy(update={"bins": 80}) for o in inputs.observables]), nature

    return made


def mistakes(x: np.ndarray, w: np.ndarray, inputs: Inputs, nature: Gaussian) -> dict[str, np.ndarray]:
    """Deviations where the efficiency is dealt with otherwise than it should be, for a right result (x, w)."""
    if len(w) != inputs.fiducial.sum():
        # Drawn events: there are no misses among them.
        eps = nature.efficiency_at(x)
        return {"not at all": off(x, w * eps, inputs, nature), "twice": off(x, w / eps, inputs, nature)}
    missed, prior = ~inputs.pass_reco[inputs.fiducial], inputs.weight[inputs.fiducial]
    wrong = {
        "not at all": np.where(missed, 0.0, w),
        "twice": w / nature.efficiency_at(x),
        "misses keep the prior": np.where(missed, prior, w),
    }
    return {mistake: off(x, v, inputs, nature) for mistake, v in wrong.items()}


@pytest.mark.parametrize("name", METHODS)
def test_efficiency(make: Toy, name: str) -> None:
    inputs, nature = make()
    inputs = weighted(inputs, inputs.fiducial, 0.5)  # So that a prior that is kept shows.
    x, w, _ = sample(method(name), inputs)
    assert closes(off(x, w, inputs, nature)), off(x, w, inputs, nature)
    for mistake, deviation in mistakes(x, w, inputs, nature).items():
        assert fails(deviation), (mistake, deviation)


def test_efficiency_of_a_single_observable(make: Toy) -> None:
    """UniFold: the other observable is carried along, and as it is independent of the first, its shape stays."""
    inputs, nature = make(dimensions=2)
    alone = {"truth": inputs.truth[:, :1], "reco": inputs.reco[:, :1], "data_reco": inputs.data_reco[:, :1]}
    inputs = weighted(replace(inputs, observables=inputs.observables[:1], **alone), inputs.fiducial, 0.5)
    x, w, _ = sample(method("omnifold"), inputs)
    assert closes(off(x, w, inputs, nature)), off(x, w, inputs, nature)
    for mistake, deviation in mistakes(x, w, inputs, nature).items():
        assert fails(deviation), (mistake, deviation)
    other = inputs.carried["x1"][inputs.fiducial]
    assert np.average(other, weights=w) == pytest.approx(other.mean(), abs=0.05)


def once(name: str, inputs: Inputs, counted: np.ndarray, nature: Gaussian, **options: Any) -> None:
    """The simulated events `counted` must enter once: forgotten, or with twice their weight, they spoil the closure."""
    right, forgotten, twice = (unfolds(name, weighted(inputs, counted, f), nature, **options) for f in (1.0, 0.0, 2.0))
    assert closes(right), right
    assert fails(forgotten), forgotten
    assert fails(twice), twice


@pytest.mark.parametrize("fakes", ["absolute", "share"])
@pytest.mark.parametrize("name", METHODS)
def test_fakes(make: Toy, name: str, fakes: str) -> None:
    inputs, nature = make(fakes=[0.35, 0.15], share=fakes == "share")
    once(name, inputs, inputs.fakes, nature, fakes=fakes)


@pytest.mark.parametrize(
    ("name", "options"),
    [(m, {"background": b}) for m in ("omnifold", "generative") for b in ("expected", "subtract", "positive")]
    + [("generative", {"background": "expected", "fakes": "share"}), ("ibu", {})],
    ids=lambda value: value if isinstance(value, str) else "-".join(value.values()),
)
def test_background(make: Toy, name: str, options: dict[str, str]) -> None:
    inputs, nature = make(background=0.25, background_mean=-1.0, background_width=1.0)
    once(name, inputs, inputs.background, nature, **options)


@pytest.mark.parametrize("background", ["expected", "subtract", "positive"])
@pytest.mark.parametrize("name", ["omnifold", "generative"])
def test_fakes_that_go_with_the_signal_beside_a_background(make: Toy, name: str, background: str) -> None:
    """The background is no part of what the share of fakes is a share of."""
    inputs, nature = make(fakes=[0.35, 0.15], share=True, background=0.25, background_mean=-1.0, background_width=1.0)
    right = unfolds(name, inputs, nature, fakes="share", background=background)
    assert closes(right), right
    for mask in (inputs.fakes, inputs.background):
        wrong = unfolds(name, weighted(inputs, mask, 0.0), nature, fakes="share", background=background)
        assert fails(wrong), wrong


@pytest.mark.parametrize("name", METHODS)
def test_signed_generator_weights(make: Toy, name: str) -> None:
    """The number of fakes is right by its signs alone: without them, or squared, it is 1.7 times as large."""
    inputs, nature = make(fakes=[0.35, 0.15], negative_weights=0.2)
    inputs = replace(inputs, data_weight=np.ones(len(inputs.data_weight)))
    assert (inputs.weight < 0).any()
    right = unfolds(name, inputs, nature)
    assert closes(right), right
    unsigned = unfolds(name, replace(inputs, weight=np.abs(inputs.weight)), nature)
    assert fails(unsigned), unsigned


@pytest.mark.parametrize("name", METHODS)
def test_absolute_normalisation(make: Toy, name: str) -> None:
    """The simulation's own yield, 30% too small, must not matter, and that of the data must come out."""
    inputs, nature = make()
    inputs = weighted(inputs, inputs.fiducial, 0.7)
    x, w, history = sample(method(name), inputs)
    assert closes(off(x, w, inputs, nature)), off(x, w, inputs, nature)
    x, tripled, _ = sample(method(name), replace(inputs, data_weight=3.0 * inputs.data_weight))
    assert closes(off(x, tripled, inputs, nature, scale=3.0)), off(x, tripled, inputs, nature, scale=3.0)
    # Data normalised to the simulation lose the yield; the scale of the simulation's weights must not return either.
    simulated = inputs.weight[inputs.pass_reco].sum() / inputs.data_weight.sum()
    normalised = unfolds(name, replace(inputs, data_weight=simulated * inputs.data_weight), nature)
    assert fails(normalised), normalised
    assert fails(off(x, 0.7 * w, inputs, nature))
    # The history has the yield before and after each iteration, and of drawn events that of all draws.
    entries = [h for h in history if "yield" in h]
    last = history[-1]["yield_unfolded" if name == "generative" else "yield"]
    assert last == pytest.approx(w.sum())
    assert entries[0]["yield_before"] == pytest.approx(inputs.weight[inputs.fiducial].sum())
    for before, after in pairwise(entries):
        assert after["yield_before"] == pytest.approx(before["yield"])
    # By how much the networks were off (in logarithms or logits) before the sums were imposed: little, once trained.
    if name == "omnifold":
        assert all(abs(h[f"normalisation_{step}"]) < 0.1 for h in history[1:] for step in ("reco", "truth"))
    if name == "generative":
        assert abs(history[0]["shift_efficiency"]) < 0.1
