"""Ten, twenty or fifty data events: what cannot be unfolded names the option with which it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from truthward.errors import DivergedError, InputError
from truthward.study.plugins import build
from truthward.unfold.inputs.arrays import NOMINAL, Replica
from truthward.unfold.stage import unfold_all

SMALL = {
    "kind": "omnifold",
    "iterations": 3,
    "network": {"width": 16},
    "training": {"epochs": 5, "later_epochs": 3, "batch_size": 256},
}
REPLICAS = [Replica(family, i) for family in ("data_bootstrap", "mc_bootstrap") for i in range(5)]


@pytest.mark.parametrize("events", [10, 50])
def test_bootstraps_of_few_events_are_responses_or_trained(toy, events):
    inputs, _ = toy(events=events, simulated=800, fakes=[0.0, 0.0])
    nominal = build("unfold", SMALL).unfold(inputs, [NOMINAL], seed=1)
    if events == 10:
        with pytest.raises(DivergedError, match=r"set `replicas: \{by: training\}`"):
            build("unfold", SMALL).unfold(inputs, REPLICAS, seed=1, nominal=nominal.trained)
    trained = build("unfold", SMALL | {"replicas": {"by": "training"}})
    rows = list(unfold_all(trained, inputs, REPLICAS[::5], seed=1).rows)
    for replica in (NOMINAL, *REPLICAS[::5]):
        data = inputs.varied(replica).data_weight.sum()
        weights = np.concatenate([r[replica.column()] for r in rows])
        # Efficiency between 0.75 and 0.98: of as many events as the replica has.
        assert 1.0 < weights.sum() / data < 1.5


def test_a_response_that_is_not_finite_says_how_it_is_trained(toy, monkeypatch):
    inputs, _ = toy(events=20, simulated=200)
    nominal = build("unfold", SMALL).unfold(inputs, [NOMINAL], seed=1)

    def overflow(*_):
        raise DivergedError("18 of 53333 ratios are not finite")

    monkeypatch.setattr("truthward.unfold.omnifold.iterations.finite_ratio", overflow)
    with pytest.raises(DivergedError, match=r"18 of 53333 ratios are not finite.*set `replicas: \{by: training\}`"):
        build("unfold", SMALL).unfold(inputs, REPLICAS, seed=1, nominal=nominal.trained)


def test_a_bootstrap_that_draws_no_event_asks_for_more_of_them(toy):
    inputs = replace(toy(events=400, simulated=400)[0], data_weight=np.ones(1), data_id=np.arange(1, dtype=np.uint64))
    drawn = [inputs._counts(inputs.data_id, Replica("data_bootstrap", i))[0] for i in range(20)]
    with pytest.raises(InputError, match=r"data sum to 0; there are too few events for bootstraps.*unfold\.replicas"):
        inputs.varied(Replica("data_bootstrap", drawn.index(0)))
