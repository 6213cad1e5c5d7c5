"""Ten data events can be unfolded: what cannot judge them says so, and ends nothing."""

import numpy as np
import pytest

from truthward.errors import InputError
from truthward.ratio.classifier import _held_out
from truthward.validate.events import Events
from truthward.validate.method import stage
from truthward.validate.two_sample import FEWEST, two_sample_test

SETTINGS = {"seeds": 2, "epochs": 1, "seed": 1}


def events(size: int, seed: int = 1) -> Events:
    x = np.random.default_rng(seed).normal(size=(size, 1)).astype(np.float32)
    return Events(["x"], np.arange(size, dtype=np.uint64), x, np.ones(size), size, {}, None)


@pytest.mark.parametrize("size", [10, FEWEST - 1])
def test_too_few_data_events_for_a_classifier_leave_out_its_test(size, caplog) -> None:
    assert stage._reco_test(events(200, 2), events(size), SETTINGS) is None
    assert f"reco: {size} data events; a classifier needs {FEWEST}" in caplog.text
    with pytest.raises(InputError, match=f"{size} and 200 events given; a classifier needs at least {FEWEST}"):
        two_sample_test(np.ones((size, 1)), np.ones(size), np.ones((200, 1)), np.ones(200), label="reco", **SETTINGS)


@pytest.mark.parametrize("size", [10, FEWEST - 1])
def test_too_few_drawn_events_leave_out_the_test_of_the_ratio(size, caplog) -> None:
    simulation = events(200, 2)
    assert stage._ratio_test(events(size), simulation.values, simulation.weights, SETTINGS) is None
    assert f"ratio: {size} events; a classifier needs {FEWEST}" in caplog.text
    enough = stage._ratio_test(events(FEWEST), simulation.values, simulation.weights, SETTINGS)
    assert 0 < enough["auc"]["mean"] < 1


@pytest.mark.parametrize("size", [10, 2 * FEWEST - 1])
def test_too_few_true_events_leave_out_the_tests_of_the_truth(size) -> None:
    found = stage._two_sample(events(200, 2), events(200, 3), events(size), SETTINGS)
    assert found == {"unfolded": None, "prior": None, "floor": None, "reco": None, "reason": stage.FEW}


def test_of_few_events_one_at_least_chooses_the_epoch() -> None:
    for key in range(200):
        held = _held_out([5, 300], key)
        assert 0 < held[:5].sum() < 5
        assert 0 < held[5:].sum() < 300


def test_enough_events_are_tested() -> None:
    assert 0 < stage._reco_test(events(200, 2), events(FEWEST), SETTINGS)["auc"]["mean"] < 1
    found = stage._two_sample(events(200, 2), events(200, 3), events(2 * FEWEST), SETTINGS)
    assert found["reason"] is None
    assert 0 < found["floor"]["auc"]["mean"] < 1
