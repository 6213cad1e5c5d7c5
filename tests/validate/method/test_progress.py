"""Bias and variance over iterations: a history whose every step is known."""

from __future__ import annotations

import numpy as np
import pytest

from truthward.events.families import family
from truthward.events.table import EventTable
from truthward.events.table_write import write_table
from truthward.run.provenance import Record
from truthward.validate.method.progress import _filled, progress

INNER = {"x": [-1.0, 0.0, 0.5], "k": [1.0, 3.0]}
STEPS, REPLICAS, PERCENT = 4, 8, 0.02


def counted(path) -> np.ndarray:
    """Contents (D, 4) of the bins, of which the second observable has three."""
    table = EventTable(path).read(["truth_x", "truth_k", "pass_truth"])
    found = np.zeros((2, 4))
    for d, (name, inner) in enumerate(INNER.items()):
        edges = [-np.inf, *inner, np.inf]
        found[d, : len(edges) - 1] = np.histogram(table[f"truth_{name}"][table["pass_truth"]], edges)[0]
    return found


@pytest.fixture
def known(study):
    """Tables, and a metadata block in which each iteration halves the distance while all replicas grow apart."""
    simulation, truth = study.simulation(), study.closure_truth()
    start, goal = counted(simulation), counted(truth)
    history = []
    for iteration in range(STEPS):
        nominal = goal + (start - goal) * 0.5 ** (iteration + 1)
        rows = {"nominal:0": nominal} | {
            f"data_bootstrap:{i}": nominal * (1 + PERCENT * (iteration + 1) * (-1) ** i) for i in range(REPLICAS)
        }
        history += [{"replica": r, "iteration": iteration, "contents": c.ravel().tolist()} for r, c in rows.items()]
    # What has no contents, such as the entry of what is drawn at last, is passed over.
    history.append({"replica": "nominal:0", "iteration": STEPS - 1, "yield": 1.0})
    families = {"data_bootstrap": family("data_bootstrap", REPLICAS)}
    return {"watched": INNER, "history": history}, families, EventTable(simulation), EventTable(truth)


def test_distance_halves_while_the_spread_grows(known):
    found = progress(*known)
    assert found["iterations"] == [0, 1, 2, 3, 4]
    assert found["chosen"] == STEPS
    assert found["names"] == ["x", "k"]
    for name in ("all", "x", "k"):
        distance = np.array(found[name]["distance"])
        np.testing.assert_allclose(distance[1:] / distance[:-1], 0.5)
        assert found[name]["sigma"]["total"][0] == 0.0
        np.testing.assert_allclose(found[name]["sigma"]["total"], found[name]["sigma"]["data_bootstrap"])
    start, goal = counted(known[2].path), counted(known[3].path)
    assert found["x"]["distance"][0] == pytest.approx(np.sqrt(((start - goal)[0] ** 2 / goal[0]).sum() / goal[0].sum()))
    # Replicas at plus and minus p of what is nearly the truth, about their own mean: p sqrt(R / (R - 1)).
    expected = PERCENT * STEPS * np.sqrt(REPLICAS / (REPLICAS - 1))
    assert found["all"]["sigma"]["total"][-1] == pytest.approx(expected, rel=0.05)
    # 4 bins share the events: sqrt(B / N).
    assert found["x"]["counting"] == pytest.approx(np.sqrt(4 / goal[0].sum()))


def test_without_truth_there_is_a_spread_alone(known):
    metadata, families, simulation, _ = known
    found = progress(metadata, families, simulation, None)
    assert found["all"]["distance"] is None
    assert found["all"]["counting"] is None
    assert found["all"]["sigma"]["total"][-1] > 3 * found["all"]["sigma"]["total"][1] > 0


def test_folds_are_averaged(known):
    metadata, families, simulation, truth = known
    apart = [
        h | {"fold": f, "contents": [c + s for c in h["contents"]]}
        for h in metadata["history"]
        if "contents" in h
        for f, s in ((0, 5.0), (1, -5.0))
    ]
    found, whole = (progress(m, families, simulation, truth)["k"] for m in (metadata | {"history": apart}, metadata))
    assert found["distance"] == pytest.approx(whole["distance"])
    assert found["sigma"]["total"] == pytest.approx(whole["sigma"]["total"])


def test_a_family_whose_replicas_went_another_way_is_left_out(known):
    """A replica of fewer iterations has no place in the figure, rather than one at the wrong iteration."""
    metadata, families, simulation, truth = known
    short = [h for h in metadata["history"] if (h["replica"], h["iteration"]) != ("data_bootstrap:0", STEPS - 1)]
    assert set(progress(metadata | {"history": short}, families, simulation, truth)["all"]["sigma"]) == {"total"}


def test_methods_without_iterations_have_none(known):
    metadata, families, simulation, truth = known
    assert progress({"history": metadata["history"][-1:]}, families, simulation, truth) is None
    assert progress({"history": [], "watched": INNER}, families, simulation, truth) is None


def test_what_is_filled_is_the_fiducial_signal_alone(tmp_path):
    columns = {
        "truth_x": np.array([-2.0, -0.5, 0.2, 0.7, 0.7], dtype=np.float32),
        "reco_x": np.zeros(5, dtype=np.float32),
        "pass_truth": np.array([True, True, True, True, False]),
        "pass_reco": np.ones(5, dtype=bool),
        "weight": np.array([1.0, 2.0, 3.0, -4.0, 5.0]),
        "process": np.array(["signal", "signal", "background", "signal", "signal"]),
        "event_id": np.arange(5, dtype=np.uint64),
    }
    path, record = tmp_path / "t.parquet", Record.for_tests()
    write_table(path, [columns], observables={}, role="simulation", selection={}, record=record)
    contents, squares = _filled(EventTable(path), {"x": [-1.0, 0.0, 0.5]}, 4)
    assert contents.tolist() == [[1.0, 2.0, 0.0, -4.0]]
    assert squares.tolist() == [[1.0, 4.0, 0.0, 16.0]]
