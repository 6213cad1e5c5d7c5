"""Posteriors of held-out simulated events: nothing of these events is known to the networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.options import merged
from truthward.errors import ConfigError, InputError
from truthward.events.split import TEST, TRAIN
from truthward.learn.checkpoint import save_arrays
from truthward.run.provenance import Record
from truthward.study.plugins import build
from truthward.validate.posterior import validate_posterior

MODEL = {"kind": "flow_matching", "width": 32, "depth": 2}
SHORT = {
    "kind": "generative",
    "model": MODEL,
    "iterations": 1,
    "training": {"epochs": 2},
    "classifiers": {"side_epochs": 1, "width": 16, "depth": 1},
}


def drawn(inputs, *, entry: dict = SHORT, events: int = 500, draws: int = 19, **options) -> dict[str, np.ndarray]:
    return build("unfold", merged(entry, options)).posterior(inputs, events=events, draws=draws, seed=3)


def test_only_events_of_the_test_split_are_drawn_for_and_none_of_them_is_learned(toy) -> None:
    inputs, _ = toy(simulated=4000)
    found = drawn(inputs)
    row = {int(i): n for n, i in enumerate(inputs.event_id)}
    rows = [row[int(i)] for i in found["event_id"]]
    assert (inputs.split[rows] == TEST).all()
    assert inputs.matched[rows].all()
    np.testing.assert_array_equal(inputs.weight[rows], found["weight"])
    assert len(rows) == 500 < found["events"].item() == (inputs.matched & (inputs.split == TEST)).sum()
    for column, name in enumerate(inputs.names):
        np.testing.assert_array_equal(inputs.truth[rows, column], found[f"truth.{name}"])
        assert found[f"draws.{name}"].shape == (500, 19)
    test = inputs.split == TEST
    moved = replace(
        inputs,
        truth=np.where(test[:, None], 5 - 3 * inputs.truth, inputs.truth),
        reco=np.where((test & ~np.isin(np.arange(len(test)), rows))[:, None], inputs.reco + 9, inputs.reco),
        weight=np.where(test, 7.0, inputs.weight),
    )
    again = drawn(moved)
    others = replace(inputs, truth=np.where(test[:, None], inputs.truth, 5 - 3 * inputs.truth))
    for name in inputs.names:
        np.testing.assert_array_equal(again[f"draws.{name}"], found[f"draws.{name}"])
        assert not np.array_equal(drawn(others)[f"draws.{name}"], found[f"draws.{name}"])


def test_what_is_learned_is_the_posterior_under_the_weighted_prior(toy, tmp_path) -> None:
    inputs, _ = toy(simulated=12000)
    tilt = np.exp(0.4 * np.nan_to_num(inputs.truth[:, 0]))
    inputs = replace(inputs, weight=inputs.weight * tilt)
    long = {"training": {"epochs": 15, "batch_size": 256}, "model": MODEL | {"width": 48}}
    save_arrays(tmp_path / "p.safetensors", drawn(inputs, events=1500, draws=99, **long), provenance={})
    settings = {"seed": 1, "record": Record.for_tests(), "output": tmp_path / "p.json"}
    content = validate_posterior(tmp_path / "p.safetensors", **settings)
    assert content["conditional"]
    assert content["flags"] == []
    for figures in (*content["ranks"].values(), content["tarp"]):
        assert figures["spread"]["value"] == pytest.approx(1.0, abs=0.06)


def test_a_median_that_models_are_given_beside_the_event_is_given_to_held_out_events_too(toy) -> None:
    inputs, _ = toy(simulated=3000)
    moved = inputs.event_id % 2 == 1
    reco = np.where(moved[:, None], inputs.reco + 2, inputs.reco)
    inputs = replace(inputs, reco=reco, carried=dict(inputs.carried) | {"parameter": np.where(moved, 1.0, 0.0)})
    condition = {"median": inputs.names[0], "by": "parameter"}
    found = drawn(inputs, condition=condition, training={"epochs": 10})
    # Given the sample an event is of, a reco value says as much of its truth as if nothing had been moved.
    draws, truth = found[f"draws.{inputs.names[0]}"].mean(axis=1), found[f"truth.{inputs.names[0]}"]
    for odd in (0, 1):
        chosen = found["event_id"] % 2 == odd
        assert draws[chosen].mean() == pytest.approx(truth[chosen].mean(), abs=0.15)


def test_a_map_of_distributions_says_so(toy) -> None:
    inputs, _ = toy(simulated=1000)
    for pairing in ("conditional", "paired", "unpaired"):
        model = {"kind": "bridge", "pairing": pairing, "width": 8, "depth": 1}
        assert drawn(inputs, model=model, training={"epochs": 1})["conditional"].item() == (pairing == "conditional")


def test_what_cannot_be_checked_is_refused(toy) -> None:
    inputs, _ = toy(simulated=500)
    with pytest.raises(ConfigError, match="Ibu draws no truth events"):
        drawn(inputs, entry={"kind": "ibu"})
    with pytest.raises(InputError, match="nothing can test the posterior"):
        drawn(replace(inputs, split=np.full_like(inputs.split, TRAIN)))
