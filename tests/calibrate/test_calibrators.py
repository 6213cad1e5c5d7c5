"""Laws of every calibrator in the folder, on a toy whose response and width are known."""

from __future__ import annotations

import importlib
from functools import cache
from inspect import signature

import numpy as np
import pytest
import torch

from truthward.calibrate.closure import pulls
from truthward.errors import InputError
from truthward.learn import checkpoint
from truthward.run.provenance import Record
from truthward.study import plugins

KINDS = plugins.kinds("calibrate")
FEATURES = {"features": ["jet_pt", "m"], "log_features": [], "target": "jet_pt", "scales": ["jet_pt"]}


def mean_of(x: torch.Tensor) -> torch.Tensor:
    return 0.9 + 0.05 * torch.sin(2 * x[:, 0]) + 0.03 * x[:, 1]


def sigma_of(x: torch.Tensor) -> torch.Tensor:
    return 0.05 + 0.04 * x[:, 0].abs()


def toy(size: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features uniform in [-1, 1]^2 and responses."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(size, 2, generator=generator) * 2 - 1
    return x, mean_of(x) + sigma_of(x) * torch.randn(size, generator=generator)


@cache
def trained(kind: str, size: int = 6000, seed: int = 1, **options):
    """A calibrator trained on the toy; a quarter of the events chooses the epoch."""
    # Only what the kind has: a calibrator without an ensemble takes no `members`.
    options = {k: v for k, v in options.items() if k in plugins.schema("calibrate", kind).options}
    calibrator = plugins.build("calibrate", {"kind": kind, **FEATURES, **options})
    x, response = toy(size, seed)
    calibrator.train_on(x, response, torch.ones(size), torch.arange(size) % 4 == 0, seed=seed)
    return calibrator


@pytest.mark.parametrize("kind", KINDS)
def test_schema_is_what_the_class_takes(kind):
    module = importlib.import_module(f"truthward.calibrate.{kind}")
    found = signature(getattr(module, plugins.class_name(kind)).__init__).parameters
    declared = plugins.schema("calibrate", kind).options
    assert {n: p.default for n, p in found.items() if n != "self"} == {n: d for n, (_, d) in declared.items()}
    assert {"features", "log_features", "target", "scales"} <= set(declared)


def test_members_are_put_together_by_hand(monkeypatch):
    """Three members of one event: a mixture of equal parts has the mean of variances, not that of widths."""
    calibrator = plugins.build("calibrate", {"kind": "repulsive", **FEATURES, "members": 3})
    mean, sigma = torch.tensor([[1.0], [1.1], [1.5]]), torch.tensor([[0.1], [0.2], [0.6]])
    monkeypatch.setattr(calibrator, "_outputs", lambda x: (mean, sigma))
    found = calibrator.predict(torch.ones(1, 2))
    assert [float(f) for f in found] == pytest.approx([1.2, np.sqrt((0.01 + 0.04 + 0.36) / 3), float(mean.std())])


@pytest.mark.parametrize("kind", KINDS)
def test_mean_and_width_are_recovered(kind):
    calibrator = trained(kind)
    x, response = toy(8000, seed=2)
    mean, systematic, statistical = calibrator.predict(x)
    assert mean.shape == systematic.shape == statistical.shape == (8000,)
    assert (mean - mean_of(x)).square().mean().sqrt() < 0.01
    assert (systematic / sigma_of(x) - 1).abs().mean() < 0.08
    # The unit of the members' spread is the one of the mean's error: within a factor of 2.5 at any training.
    ratio = (mean - mean_of(x)).square().mean().sqrt() / statistical.square().mean().sqrt()
    assert 0.4 < ratio < 2.5
    found = pulls(response.numpy(), mean.numpy(), torch.hypot(systematic, statistical).numpy(), np.ones(8000))
    assert found["good"]
    assert found["gaussian"]
    assert 0.9 < found["width"] < 1.1


@pytest.mark.parametrize("kind", KINDS)
def test_members_are_mean_and_spread(kind):
    calibrator = trained(kind)
    x, _ = toy(100, seed=3)
    members = calibrator.members(x)
    mean, _, statistical = calibrator.predict(x)
    assert members.ndim == 2
    assert members.shape[1] == 100
    torch.testing.assert_close(members.mean(0), mean)
    torch.testing.assert_close(members.std(0), statistical)


@pytest.mark.parametrize("kind", KINDS)
def test_prediction_is_event_by_event(kind):
    calibrator = trained(kind)
    x, _ = toy(64, seed=4)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    for whole, shuffled in zip(calibrator.predict(x), calibrator.predict(x[order]), strict=True):
        torch.testing.assert_close(whole[order], shuffled)


@pytest.mark.parametrize("kind", KINDS)
def test_statistical_uncertainty_shrinks_with_training_events_and_grows_outside(kind):
    few, many = trained(kind, size=1000), trained(kind)
    x, _ = toy(2000, seed=5)
    assert few.predict(x)[2].mean() > 1.3 * many.predict(x)[2].mean()
    far = torch.tensor([[a, b] for a in (-3.0, 3.0) for b in (-3.0, 0.0, 3.0)])
    assert many.predict(far)[2].min() > 3 * many.predict(x)[2].mean()
    # What is irreducible stays.
    assert few.predict(x)[1].mean() == pytest.approx(float(many.predict(x)[1].mean()), rel=0.15)


def test_repulsion_is_what_parts_the_members_outside():
    far = torch.tensor([[a, b] for a in (-3.0, 3.0) for b in (-3.0, 0.0, 3.0)])
    x, _ = toy(2000, seed=5)
    without = trained("repulsive", repulsion=0.0)
    assert trained("repulsive").predict(far)[2].mean() > 2 * without.predict(far)[2].mean()
    # ... at no loss inside.
    errors = [(c.predict(x)[0] - mean_of(x)).square().mean().sqrt() for c in (trained("repulsive"), without)]
    assert errors[0] < 1.5 * errors[1]


@pytest.mark.parametrize(("factor", "good"), [(1.0, True), (0.5, False), (2.0, False)])
def test_a_wrong_width_is_flagged(factor, good):
    x, response = toy(4000, seed=6)
    found = pulls(response.numpy(), mean_of(x).numpy(), factor * sigma_of(x).numpy(), np.ones(4000))
    assert found["good"] is good
    assert found["width"] == pytest.approx(1 / factor, abs=5 * found["width_error"])
    assert good or "outside of 0.9 to 1.1" in found["verdict"]


def test_tails_are_said():
    random = np.random.default_rng(8)
    values = random.standard_t(3, 20_000) / np.sqrt(3)  # of unit variance
    found = pulls(values, np.zeros(20_000), np.ones(20_000), np.ones(20_000))
    assert found["good"]
    assert not found["gaussian"]
    assert "not Gaussian: central 68% half-width 0.6" in found["verdict"]


def test_a_shifted_mean_is_flagged():
    x, response = toy(4000, seed=7)
    found = pulls(response.numpy() + 0.02, mean_of(x).numpy(), sigma_of(x).numpy(), np.ones(4000))
    assert not found["good"]
    assert "mean" in found["verdict"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_calibrator_predicts_the_same(kind, tmp_path):
    calibrator = trained(kind)
    path = tmp_path / "model.safetensors"
    recipe = {"class": f"{type(calibrator).__module__}:{type(calibrator).__name__}", "arguments": FEATURES}
    checkpoint.save(path, {"calibrator": calibrator}, recipe=recipe, provenance=Record.for_tests().finish())
    modules, _, _ = checkpoint.load(path)
    x, _ = toy(50, seed=8)
    for before, after in zip(calibrator.predict(x), modules["calibrator"].predict(x), strict=True):
        assert torch.equal(before, after)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_calibrator_and_training_is_resumed(kind, tmp_path):
    x, response = toy(600, seed=9)
    held, ones = torch.arange(600) % 4 == 0, torch.ones(600)
    predictions = []
    for state in (None, tmp_path / "a.pt", tmp_path / "a.pt"):  # the third finds the finished state of the second
        options = {k: v for k, v in {"epochs": 3}.items() if k in plugins.schema("calibrate", kind).options}
        calibrator = plugins.build("calibrate", {"kind": kind, **FEATURES, **options})
        calibrator.train_on(x, response, ones, held, seed=4, state=state, state_key="k")
        predictions.append(calibrator.predict(x)[0])
    assert torch.equal(predictions[0], predictions[1])
    assert torch.equal(predictions[0], predictions[2])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("value", "log", "match"), [(float("nan"), [], "not finite"), (-1.0, ["m"], "log_features")])
def test_unusable_features_are_refused(kind, value, log, match):
    calibrator = plugins.build("calibrate", {"kind": kind, **FEATURES, "log_features": log})
    x = torch.ones(5, 2)
    x[3, 1] = value
    with pytest.raises(InputError, match=rf"feature m: 1 of 5 values are not finite.*{'' if log == [] else match}"):
        calibrator.predict(x)
