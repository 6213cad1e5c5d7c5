"""Ranks and TARP of a Gaussian posterior: uniform where it is right, under any weights, and found where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from truthward.errors import InputError
from truthward.learn.checkpoint import save_arrays
from truthward.records import read_record
from truthward.records.validate.posterior import ValidatedPosterior
from truthward.run.provenance import Record
from truthward.validate.flags import SMALL_P
from truthward.validate.posterior import distance_ranks, ranks, uniformity, validate_posterior

SMEAR, DRAWS = 0.7, 99
GAIN = 1 / (1 + SMEAR**2)


def toy(
    n: int, seed: int, *, narrow: float = 1.0, shift: float = 0.0, prior: float = 0.0, correlation: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth N(prior, 1) (n, 2), weights towards N(shift, 1), and draws of the posterior under the weighted prior.

    narrow: factor on the draws' noise; correlation: of the draws' noise, none being right.
    """
    rng = np.random.default_rng(seed)
    truth = rng.normal(prior, 1, (n, 2))
    reco = truth + rng.normal(0, SMEAR, truth.shape)
    weights = np.exp(((shift - prior) * truth - (shift**2 - prior**2) / 2).sum(axis=1))
    noise = rng.normal(size=(n, DRAWS, 2))
    noise[:, :, 1] = correlation * noise[:, :, 0] + (1 - correlation**2) ** 0.5 * noise[:, :, 1]
    mean = GAIN * reco + (1 - GAIN) * shift
    return truth, mean[:, None] + narrow * (1 - GAIN) ** 0.5 * noise, weights


def judged(truth: np.ndarray, draws: np.ndarray, weights: np.ndarray, tmp_path, **more) -> dict:
    held = {
        "event_id": np.arange(len(truth), dtype=np.uint64),
        "weight": weights,
        "conditional": np.array([True]),
        "events": np.array([len(truth)]),
    }
    for column, name in enumerate("xy"):
        held |= {f"truth.{name}": truth[:, column], f"draws.{name}": draws[:, :, column]}
    save_arrays(tmp_path / "p.safetensors", held | more, provenance={})
    settings = {"seed": 1, "record": Record.for_tests(), "output": tmp_path / "p.json"}
    content = validate_posterior(tmp_path / "p.safetensors", **settings)
    assert read_record(tmp_path / "p.json", ValidatedPosterior)["ranks"].keys() == {"x", "y"}
    return content


def p_values(content: dict) -> dict[str, float]:
    each = content["ranks"] | {"tarp": content["tarp"]}
    return {name: min(figures["chi2"]["p"], figures["ks"]["p"]) for name, figures in each.items()}


def test_the_posterior_passes_and_one_too_narrow_fails_both(tmp_path) -> None:
    right = judged(*toy(4000, 1), tmp_path)
    assert right["flags"] == []
    assert min(p_values(right).values()) > 0.01
    assert right["tarp"]["spread"]["value"] == pytest.approx(1.0, abs=4 * right["tarp"]["spread"]["error"])
    for factor, sign in ((0.8, 1), (1.25, -1)):
        wrong = judged(*toy(4000, 1, narrow=factor), tmp_path)
        assert {(f["test"], f["observable"]) for f in wrong["flags"]} == {
            ("ranks", "x"),
            ("ranks", "y"),
            ("tarp", None),
        }
        for figures in (*wrong["ranks"].values(), wrong["tarp"]):
            spread = figures["spread"]
            assert sign * (spread["value"] - 1) > 5 * spread["error"]


def test_ranks_alone_do_not_see_a_wrong_correlation(tmp_path) -> None:
    found = p_values(judged(*toy(6000, 2, correlation=0.9), tmp_path))
    assert min(found["x"], found["y"]) > 0.01
    assert found["tarp"] < SMALL_P


def test_weights_are_the_prior_that_is_judged(tmp_path) -> None:
    truth, draws, weights = toy(8000, 3, prior=0.3, shift=0.0)
    assert min(p_values(judged(truth, draws, weights, tmp_path)).values()) > 0.01
    without = p_values(judged(truth, draws, np.ones_like(weights), tmp_path))
    assert max(without["x"], without["y"]) < SMALL_P


def test_signed_weights_stand_for_the_density_they_sum_to(tmp_path) -> None:
    truth, draws, _ = toy(8000, 4)
    other, theirs, _ = toy(1500, 5, prior=1.5, shift=1.5)
    # The others' posterior is of another prior: added, and taken away again by events of the same distribution.
    again, too, _ = toy(1500, 6, prior=1.5, shift=1.5)
    theirs, too = (GAIN * x + (1 - GAIN) ** 0.5 * np.random.default_rng(7).normal(size=x.shape) for x in (theirs, too))
    every = [np.concatenate(parts) for parts in ((truth, other, again), (draws, theirs, too))]
    weights = np.repeat([1.0, 1.0, -1.0], [8000, 1500, 1500])
    assert min(p_values(judged(*every, weights, tmp_path)).values()) > 0.01
    assert min(p_values(judged(*every, np.abs(weights), tmp_path)).values()) < SMALL_P


def test_p_values_are_uniform_for_weights_that_go_with_the_ranks() -> None:
    """What the multipliers are for: errors that are not the same for all ranks."""
    found = {"chi2": [], "ks": []}
    fractions, errors = [], []
    for seed in range(80):
        u = np.random.default_rng(seed).random(1000)
        # Ranks of density exp(-4 u) with weights exp(4 u) are uniform.
        u = -np.log1p(-u * (1 - np.exp(-4))) / 4
        figures = uniformity((100 * u).astype(int), DRAWS, np.exp(4 * u), seed=seed)
        fractions.append(figures["fractions"])
        errors.append(figures["error"])
        for name in found:
            found[name].append(figures[name]["p"])
    ratio = np.std(fractions, axis=0, ddof=1) / np.mean(errors, axis=0)
    np.testing.assert_allclose([ratio[:10].mean(), ratio[10:].mean()], 1.0, atol=0.12)
    for name, p in found.items():
        assert np.mean(p) == pytest.approx(0.5, abs=4 * 12**-0.5 / 80**0.5), name
        assert np.mean(np.array(p) < 0.1) < 0.24, name


def test_integers_and_atoms_have_uniform_ranks_where_ties_are_broken_at_random(tmp_path) -> None:
    truth, draws, weights = toy(4000, 8)
    truth, draws = (np.stack([np.round(2 * x[..., 0]), np.maximum(x[..., 1], 0.0)], axis=-1) for x in (truth, draws))
    assert min(p_values(judged(truth, draws, weights, tmp_path)).values()) > 0.01
    for column in (0, 1):
        unbroken = ranks(truth[:, column], draws[:, :, column], np.zeros(len(truth)))
        assert uniformity(unbroken, DRAWS, weights, seed=1)["chi2"]["p"] < SMALL_P


def test_ranks_by_hand() -> None:
    truth, draws = np.array([1.0, 1.0, 1.0]), np.array([[0.0, 1.0, 1.0, 2.0]] * 3)
    assert ranks(truth, draws, np.array([0.0, 0.5, 0.99])).tolist() == [1, 2, 3]
    far = np.array([[3.0, 4.0]] * 2)
    near = np.array([[[1.0, 0.0], [5.0, 0.0], [6.0, 0.0]]] * 2)
    assert distance_ranks(far, near, np.zeros((2, 2)), np.array([0.0, 0.99])).tolist() == [1, 2]


def test_a_map_of_distributions_is_said_to_state_no_posterior(tmp_path) -> None:
    content = judged(*toy(2000, 1, narrow=0.0), tmp_path, conditional=np.array([False]))
    assert not content["conditional"]
    assert content["flags"] == []
    assert content["tarp"]["ks"]["p"] < SMALL_P


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(InputError, match="sum to -10"):
        uniformity(np.zeros(10, dtype=int), DRAWS, -np.ones(10), seed=1)
    with pytest.raises(InputError, match="100 draws"):
        uniformity(np.zeros(10, dtype=int), 100, np.ones(10), seed=1)
