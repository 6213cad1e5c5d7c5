"""Weights that correct a surrogate: what they reach, and what they leave alone."""

from __future__ import annotations

import numpy as np
import pytest

from tests.surrogate.test_surrogate import MODEL, OBSERVABLES, write_simulation
from truthward.errors import InputError
from truthward.events.split import TEST
from truthward.events.table import EventTable
from truthward.events.table_write import write_table
from truthward.run.provenance import Record
from truthward.study.generative_members import Uncertainty
from truthward.surrogate.section import Correction
from truthward.surrogate.stage import surrogate_stage


def stage(folder, simulation, correction):
    """A surrogate that was trained far too shortly, with a correction or none: (summary, its events)."""
    folder.mkdir()
    summary = surrogate_stage(
        simulation,
        OBSERVABLES,
        MODEL,
        uncertainty=Uncertainty(members=2),
        epochs=1,
        batch_size=500,
        learning_rate=4e-3,
        correction=correction,
        seed=3,
        record=Record.for_tests(),
        model_path=folder / "model.safetensors",
        samples_path=folder / "samples.parquet",
        summary_path=folder / "summary.json",
    )
    columns = ["weight", "member", "process", "pass_truth", "pass_reco", "truth_m", "reco_m", "truth_M", "event_id"]
    return summary, EventTable(folder / "samples.parquet").read(columns)


@pytest.fixture(scope="module", params=["dense", "boosted_trees"])
def both(request, tmp_path_factory):
    """The same surrogate with and without correction, and the simulation."""
    folder = tmp_path_factory.mktemp("correction")
    write_simulation(folder / "s.parquet", 6000, background=True)
    options = {"epochs": 15, "batch_size": 200, "learning_rate": 4e-3, "width": 32, "depth": 2}
    corrected = stage(folder / "a", folder / "s.parquet", Correction(classifier=request.param, **options))
    return corrected, stage(folder / "b", folder / "s.parquet", None), folder / "s.parquet"


def test_the_area_under_the_curve_moves_toward_one_half_for_each_member(both):
    figures = both[0][0]["samples"]["correction"]
    assert len(figures["auc_before"]) == len(figures["auc_after"]) == 2
    for before, after in zip(figures["auc_before"], figures["auc_after"], strict=True):
        assert before > 0.5 + 6.0 * figures["auc_sigma"]
        assert after - 0.5 < 0.5 * (before - 0.5)


def test_what_the_surrogate_lacks_is_put_right(both):
    """Mass and multiplicity are correlated, which so short a training hardly learns."""
    (_, corrected), (_, plain), simulation = both
    wanted = EventTable(simulation).read(["weight", "truth_m", "truth_M", "pass_truth"])
    found = []
    for table in (corrected, plain, wanted):
        truth = table["pass_truth"]
        moments = np.cov(table["truth_m"][truth], table["truth_M"][truth], aweights=table["weight"][truth])
        found.append(moments[0, 1] / np.sqrt(moments[0, 0] * moments[1, 1]))
    assert found[1] < 0.8 * found[2]
    assert abs(found[0] - found[2]) < 0.4 * abs(found[1] - found[2])


def test_events_and_yields_of_categories_are_unchanged_and_weights_finite(both):
    (summary, corrected), (other, plain), _ = both
    assert other["samples"]["correction"] is None
    assert len(np.unique(plain["weight"][plain["member"] == 0])) == 1
    for name in ("event_id", "member", "process", "pass_reco"):
        assert np.array_equal(corrected[name], plain[name])
    np.testing.assert_array_equal(corrected["truth_m"], plain["truth_m"])
    labels = np.stack([plain[n].astype(str) for n in ("member", "process", "pass_truth", "pass_reco")], 1)
    for label in np.unique(labels, axis=0):
        here = (labels == label).all(1)
        assert corrected["weight"][here].sum() == pytest.approx(plain["weight"][here].sum(), rel=1e-9)
        assert corrected["weight"][here].std() > 0.05 * corrected["weight"][here].mean()
    assert np.isfinite(corrected["weight"]).all()
    assert (corrected["weight"] > 0).all()
    w, figures = corrected["weight"], summary["samples"]["correction"]
    assert figures["effective_size"] == pytest.approx(w.sum() ** 2 / (w**2).sum())
    assert figures["effective_size"] < figures["effective_size_before"] <= len(w)
    assert figures["largest_over_mean"] == pytest.approx(w.max() / w.mean())


def test_without_test_events_nothing_is_corrected(tmp_path):
    write_simulation(tmp_path / "all.parquet", 2000)
    table = EventTable(tmp_path / "all.parquet")
    with pytest.raises(InputError, match="is in the test part"):
        stage(tmp_path / "a", without_test(table, tmp_path / "s.parquet"), Correction(epochs=1))


def without_test(table, path):
    write_table(
        path,
        [b.take(b["split"] != TEST) for b in table.batches()],
        observables={},
        role="simulation",
        selection=table.metadata["selection"],
        record=Record.for_tests(),
    )
    return path
