"""Replicas of the generative method: what they share, and what they do not depend on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.unfold.generative.test_generative import SHORT, blocks, toy
from truthward.events.unfolded import Unfolded, family, gather
from truthward.run.provenance import Record
from truthward.study.plugins import build
from truthward.unfold.contract import Result
from truthward.unfold.inputs.arrays import NOMINAL, Replica
from truthward.unfold.stage import replicas_of, unfold_all, write_part

FAMILIES = {"data_bootstrap": 3, "mc_bootstrap": 2, "initialisation": 2, "combined": 2, "systematic:calibration": 2}


def test_a_replica_depends_neither_on_its_job_nor_on_its_stack(tmp_path) -> None:
    inputs = toy(2000, misses=True, fakes=0.1)
    families = {name: family(name, count) for name, count in FAMILIES.items()}
    paths = []
    for jobs, stack in ((1, 10), (3, 2)):
        unfolder = build("unfold", SHORT | {"replicas": {"stack": stack}})
        parts = []
        first = unfolder.unfold(inputs, [NOMINAL], seed=3, state=tmp_path)
        for job in range(-1, jobs):
            replicas = [NOMINAL] if job < 0 else replicas_of(job, jobs, FAMILIES)
            result = (
                unfolder.unfold(inputs, replicas, seed=3, nominal=first.trained, state=tmp_path) if job >= 0 else first
            )
            parts.append(tmp_path / f"{jobs}.{job}.parquet")
            write_part(
                parts[-1],
                result,
                replicas,
                unfolder=unfolder,
                method="g",
                kind="generative",
                observables=["x"],
                families=families,
                record=Record.for_tests(),
            )
        paths.append(tmp_path / f"{jobs}.parquet")
        gather(parts, paths[-1], record=Record.for_tests())
    # Draws near a border may change sides, yet not their moments.
    whole, dealt = (Unfolded(p).histogram(lambda t: 0 * t["x"], np.array([-1.0, 1.0])) for p in paths)
    first, second = (Unfolded(p).histogram("x", np.linspace(-4, 4, 9)) for p in paths)
    assert whole.nominal == pytest.approx(dealt.nominal, rel=1e-5)
    np.testing.assert_allclose(first.nominal, second.nominal, rtol=1e-5, atol=1e-2)
    for name in FAMILIES:
        np.testing.assert_allclose(whole.replicas[name], dealt.replicas[name], rtol=1e-5)
        np.testing.assert_allclose(first.replicas[name], second.replicas[name], rtol=1e-5, atol=1e-2)
        assert np.ptp(first.replicas[name], axis=0).max() > 0.1, "replicas of a family must differ"
    history = Unfolded(paths[1]).metadata["history"]
    assert {h["replica"] for h in history} == {str(r) for r in [NOMINAL, *replicas_of(0, 1, FAMILIES)]}
    assert all(np.isfinite(v).all() for h in history for k, v in h.items() if k != "replica")


def test_replicas_share_the_noise_of_sampling() -> None:
    """A bootstrap of the data does not touch the first network: without prior removal its draws stay."""
    inputs, replica = toy(2000), Replica("data_bootstrap", 1)
    entry = SHORT | {"iterations": 1, "draws": {"nominal": 2}}
    unfolder = build("unfold", entry | {"replicas": {"by": "training"}})
    rows = list(unfold_all(unfolder, inputs, [replica], seed=3).rows)
    (x, w), (y, v) = (blocks(Result(rows, []), r) for r in (NOMINAL, replica))
    counts = np.tile(inputs.varied(replica).data_weight, 2)
    np.testing.assert_allclose(x[counts > 0], y, atol=1e-6)
    np.testing.assert_allclose(w[counts > 0] * counts[counts > 0], v, rtol=1e-6)
    assert {b["block"][0] for b in rows} == {0, 1}
    respond = unfold_all(build("unfold", entry | {"replicas": {"by": "response"}}), inputs, [replica], seed=3)
    z, u = blocks(respond, replica)
    assert {b["block"][0] for b in respond.rows} == {0}
    np.testing.assert_array_equal(x, z)
    np.testing.assert_allclose(u, w * counts, rtol=1e-12)
    # Not the order of the data, nor which other events are there, decides on an event's noise. (What networks see does
    # depend on the other events: data are scaled by their ranks.)
    some = np.random.default_rng(1).permutation(len(inputs.data_reco))
    scaled = unfolder.recipe.scaled(inputs, 3)
    np.testing.assert_array_equal(
        scaled.noise(inputs.data_id[some[:500]], 3), scaled.noise(inputs.data_id, 3)[some[:500]]
    )
    names = ("data_reco", "data_weight", "data_id", "data_validation")
    part = replace(inputs, **{n: getattr(inputs, n)[some] for n in names})
    z, _ = blocks(unfolder.unfold(part, [NOMINAL], seed=3))
    np.testing.assert_allclose(z, x.reshape(2, -1, 1)[:, some].reshape(-1, 1), atol=1e-5)


def test_systematics_have_the_draws_of_the_nominal() -> None:
    """Their shift is measured from it: with fewer draws the noise of sampling would not cancel."""
    inputs, replica = toy(1000), Replica("systematic:calibration", 0)
    unfolder = build("unfold", SHORT | {"draws": {"nominal": 3, "replicas": 1}})
    rows = list(unfold_all(unfolder, inputs, [replica], seed=3).rows)
    assert sum(len(b["block"]) for b in rows if replica.column() in b) == 3 * len(inputs.data_reco)


def test_an_interrupted_training_is_taken_up_in_every_iteration(tmp_path) -> None:
    inputs, unfolder = toy(800), build("unfold", SHORT | {"iterations": 3})
    first = blocks(unfolder.unfold(inputs, [NOMINAL], seed=3, state=tmp_path, key="k"))
    states = sorted(p.name for p in tmp_path.iterdir())
    # Without misses and fakes: a model an iteration, and a ratio between two.
    assert [".".join(n.split(".")[1:3]) for n in states] == ["0.model", "1.model", "1.ratio", "2.model", "2.ratio"]
    for last in (2, 1, 0):
        # As though the job had died in this iteration, before its model was there.
        for later in states:
            if later.split(".")[1:3] >= [str(last), "model"]:
                (tmp_path / later).unlink(missing_ok=True)
        left = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
        again = blocks(unfolder.unfold(inputs, [NOMINAL], seed=3, state=tmp_path, key="k"))
        np.testing.assert_array_equal(first[0], again[0])
        np.testing.assert_array_equal(first[1], again[1])
        assert {n: (tmp_path / n).stat().st_mtime_ns for n in left} == left, "what was done is not done again"
        assert sorted(p.name for p in tmp_path.iterdir()) == states
