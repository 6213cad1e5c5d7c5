"""The rule that balances bias and variance on pseudo-data of known truth, by hand and through the methods."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.unfold.test_model_uncertainty import EVENTS, METHODS, OBSERVABLES, SAME, planted
from truthward.errors import ConfigError
from truthward.study.plugins import build
from truthward.unfold.inputs.arrays import NOMINAL, Inputs
from truthward.unfold.stop.balance import BOOTSTRAPS, balance, by_iteration
from truthward.unfold.stop.rules import Bins


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    """Data of three times the weight of an event, and pseudo-data with another prior."""
    simulation, data = planted(EVENTS, 1), planted(EVENTS // 2, 2, mean=0.4)
    data["weight"] *= 3.0
    pseudo = simulation["weight"] * np.exp(0.4 * simulation["truth_x0"] - 0.08)
    kinds, vary = {"same": "closure"}, {"same": lambda _: {"weight": pseudo}}
    return Inputs.from_columns(simulation, data, OBSERVABLES, seed=1, kinds=kinds, variations=vary)


def test_bias_and_variance_by_hand(inputs):
    """sigma^2 = n <d> / e of each coarse bin, with the data's mean weight of three and an efficiency near 0.9."""
    rng = np.random.default_rng(5)
    truth, weight = inputs.truth[:, 0], inputs.pseudo_weight(SAME)
    inner = Bins(inputs.truth).inner[0]
    cell = np.searchsorted(inner, truth, side="right")
    known, share = np.bincount(cell, weight), np.bincount(cell, inputs.pass_reco) / np.bincount(cell)
    contents = [known * 1.1, known * 1.02]
    boots = [known * (1.0 + scale * rng.standard_normal((BOOTSTRAPS, 10))) for scale in (0.01, 0.05)]
    found = balance([inputs], inputs, contents, boots)
    for k in range(2):
        bias = np.mean((contents[k] - known) ** 2 / (contents[k] * 3.0 / share))
        assert found.bias[k] == pytest.approx(bias, rel=1e-6)
        pseudo = weight[inputs.pass_reco]
        unit = boots[k] * (pseudo**2).sum() / pseudo.sum() / share
        variance = ((boots[k] - boots[k].mean(axis=0)) ** 2 / unit).mean(axis=1).sum() / (BOOTSTRAPS - 1)
        assert found.variance[k] == pytest.approx(variance, rel=1e-6)
    assert found.chosen == int(np.argmin(found.bias + found.variance)) + 1


def test_contents_are_taken_in_the_order_of_the_iterations():
    entries = [{"replica": "a", "iteration": k, "contents": [k, k + 1.0]} for k in (1, 0)] + [{"iteration": 2}]
    nominal, others = by_iteration(entries, [*entries, *({**e, "replica": "b"} for e in entries[:2])])
    np.testing.assert_array_equal(nominal, [[0.0, 1.0], [1.0, 2.0]])
    assert [o.shape for o in others] == [(2, 2), (2, 2)]


@pytest.mark.parametrize("kind", ["omnifold", "generative"])
def test_the_nominal_makes_as_many_iterations_as_are_best(kind, inputs):
    """What it writes is the run with that number, bit by bit; the truth of the data has no part in it."""
    options = METHODS[kind] | {"stop": {"rule": "closure"}, "iterations": 3}
    result = build("unfold", {"kind": kind, **options}).unfold(inputs, [NOMINAL], seed=3)
    stated = result.extra["stopping"]
    total = np.array(stated["bias"]) + stated["variance"]
    assert (stated["rule"], stated["largest"]) == ("closure", 3)
    assert stated["chosen"] == result.iterations == int(np.argmin(total)) + 1
    # The prior is off by 0.4: one iteration leaves more of it than is made up for by its smaller variance.
    assert stated["bias"][0] > 2 * stated["bias"][1]
    assert stated["variance"][0] < stated["variance"][2]
    fixed = options | {"stop": {"rule": "fixed"}, "iterations": result.iterations}
    alone = build("unfold", {"kind": kind, **fixed}).unfold(inputs, [NOMINAL], seed=3)
    for one, other in zip(result.rows, alone.rows, strict=True):
        np.testing.assert_array_equal(one["weight"], other["weight"])


def test_it_needs_pseudo_data(inputs):
    unfolder = build("unfold", {"kind": "omnifold", "stop": {"rule": "closure"}})
    with pytest.raises(ConfigError, match=r"stop\.rule: closure needs pseudo-data.*kind: closure"):
        unfolder.unfold(replace(inputs, kinds={}), [NOMINAL], seed=1)
