"""The p-values of the truth are uniform, those of the simulation small; what cannot be tested says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tests.compare import toys
from truthward.compare import chi2, unbinned
from truthward.compare.prediction import Counted, Histograms
from truthward.compare.published import Published
from truthward.compare.stage import compare
from truthward.errors import InputError
from truthward.events.unfolded import family
from truthward.run.provenance import Record

TOYS = 12


@pytest.fixture(scope="module")
def values(tmp_path_factory) -> dict[tuple[str, str], list[float]]:
    """Prediction and test -> p-values over toys."""
    found: dict[tuple[str, str], list[float]] = {}
    for seed in range(TOYS):
        folder = toys.publication(tmp_path_factory.mktemp("toy"), seed, data=1200, simulation=3000, replicas=24)
        random = np.random.default_rng([seed, 1])
        given = [
            toys.prediction(n, make(3000, random), 0.4)
            for n, make in (("truth", toys.truth), ("prior", toys.simulated))
        ]
        result = compare(Published.open(folder), given, normalised=bool(seed % 2), record=Record.for_tests())
        for label, entry in result["predictions"].items():
            tests = {n: o["chi2"] for n, o in entry["observables"].items()} | {"joint": entry["joint"]["chi2"]}
            for name, test in (tests | {"unbinned": entry["unbinned"][0]}).items():
                found.setdefault((label, name), []).append(test["p"])
    return found


@pytest.mark.parametrize("test", ["x", "y", "joint", "unbinned"])
def test_the_truth_has_uniform_p_values_and_the_simulation_small_ones(values, test) -> None:
    assert stats.kstest(values["truth", test], "uniform").pvalue > 0.01
    assert np.median(values["prior", test]) < 0.01 < np.median(values["truth", test])


def test_the_covariance_of_a_prediction_is_that_of_its_events(random) -> None:
    """Also between observables: of many samples of Poisson number."""
    bins = {n: np.array([-1.0, 0.0, 1.5]) for n in toys.NAMES}
    found = [toys.prediction("a", toys.truth(random.poisson(300), random)).counted(bins) for _ in range(400)]
    contents, stated = np.array([c for c, _ in found]), np.mean([v for _, v in found], axis=0)
    expected, error = np.cov(contents.T), np.sqrt(2 / 400) * np.sqrt(np.outer(np.diag(stated), np.diag(stated)))
    assert (np.abs(stated - expected) < 5 * error).all()


def test_one_degree_of_freedom_less_for_each_unit_area(published, random) -> None:
    given = toys.prediction("truth", toys.truth(3000, random))
    edges = published.edges["x"]
    shape, note = chi2.one(published, given, "x", edges, normalised=True)
    assert shape["ndf"] == len(edges) - 2
    assert "one less than bins" in note
    scaled = replace(given, weights=17.0 * given.weights)
    assert chi2.one(published, scaled, "x", edges, normalised=True)[0]["value"] == pytest.approx(shape["value"])
    both, bins, _ = chi2.joint(published, given, published.edges, normalised=True)
    assert both["ndf"] == sum(len(e) - 2 for e in bins.values()) <= 10
    wide, bins, _ = chi2.joint(published, given, published.edges, normalised=False)
    assert wide["ndf"] == 1 + sum(len(e) - 2 for e in bins.values())


def test_bins_are_merged_to_what_the_replicas_allow(published, random) -> None:
    given = toys.prediction("truth", toys.truth(3000, random))
    found, note = chi2.one(published, given, "x", np.linspace(-2, 2, 41), normalised=True)
    assert found["ndf"] <= 10
    assert "40 bins merged to 11" in note
    assert found["replicas"] > 30, "each bootstrap has 30, and the prediction is exact"


def test_without_bootstraps_there_is_no_chi2_but_a_reason(published, random, monkeypatch) -> None:
    given = toys.prediction("truth", toys.truth(3000, random))
    kept = {"systematic:shift": family("systematic:shift", 2)}
    monkeypatch.setattr(published.sample, "families", kept)
    found, _ = chi2.one(published, given, "x", published.edges["x"], normalised=True)
    assert found["value"] is None
    assert "bootstrap replicas: none" in found["reason"]
    monkeypatch.setattr(published.sample, "families", {})
    test = unbinned.two_sample_test(published, given, toys.NAMES, seed=1)
    assert "no replicas" in test["reason"]


def test_few_events_have_no_unbinned_test(published, random) -> None:
    test = unbinned.two_sample_test(published, toys.prediction("few", toys.truth(20, random)), toys.NAMES, seed=1)
    assert test["p"] is None
    assert "20 events" in test["reason"]


def test_the_unbinned_test_sees_what_no_histogram_shows(published, random) -> None:
    """Both marginals are right, and the correlation is not."""
    events = toys.truth(6000, random)
    events[:, 1] = random.permutation(events[:, 1])
    entry = compare(published, [toys.prediction("apart", events)], record=Record.for_tests())["predictions"]["apart"]
    assert min(o["chi2"]["p"] for o in entry["observables"].values()) > 1e-3
    assert entry["unbinned"][0]["p"] < 1e-6
    assert entry["unbinned"][0]["auc"] > 0.55


def test_the_uncertainty_of_the_measurement_is_in_the_p_value(published, random, monkeypatch) -> None:
    """With larger shifts in the replicas of a systematic, the same difference is no longer significant."""
    given = toys.prediction("shifted", toys.truth(6000, random, toys.MEAN + 5 * toys.SHIFT))
    before = unbinned.two_sample_test(published, given, toys.NAMES, seed=1)
    monkeypatch.setattr(unbinned, "_parts", _enlarged(unbinned._parts, 8.0))
    after = unbinned.two_sample_test(published, given, toys.NAMES, seed=1)
    assert before["p"] < 1e-3 < 0.05 < after["p"]
    assert after["shares"]["systematic:shift"] > 0.5 > before["shares"]["systematic:shift"]


def _enlarged(parts, factor):
    def changed(*given):
        return {n: y * (factor if n.startswith("systematic") else 1.0) for n, y in parts(*given).items()}

    return changed


def test_histograms_in_other_bins_are_compared_in_their_own(published, random) -> None:
    """The publication has events, so it can be filled into any bins."""
    values = toys.truth(5000, random)
    edges = np.linspace(-3, 3, 8)
    made = {n: np.histogram(values[:, i], edges)[0].astype(float) for i, n in enumerate(toys.NAMES)}
    given = Histograms("h", "h.yoda", {n: Counted(edges, c, np.diag(c)) for n, c in made.items()})
    entry = compare(published, [given], record=Record.for_tests())["predictions"]["h"]
    assert entry["observables"]["x"]["curve"]["edges"] == edges.tolist()
    assert any("its own are used for both" in note for note in entry["notes"])
    assert entry["unbinned"] == []
    assert entry["observables"]["x"]["chi2"]["p"] > 1e-3
    fine = np.unique([*np.linspace(-5, 5, 41), *toys.EDGES])
    counts = np.histogram(values[:, 0], fine)[0].astype(float)
    merged = Histograms("f", "f", {"x": Counted(fine, counts, np.diag(counts))})
    assert merged.edges("x", published.edges["x"]) == pytest.approx(toys.EDGES)
    assert merged.counted({"x": published.edges["x"]})[0].sum() == counts.sum()


def test_a_binned_method_is_compared_in_its_own_bins(published, monkeypatch) -> None:
    binned = replace(published, inner={"x": [0.0, 0.5]})
    assert binned.histogram("x", np.array([-5.0, 0.0, 5.0])).nominal.size == 2
    with pytest.raises(InputError, match=r"x was unfolded in bins, and 0\.3 is not an edge"):
        binned.histogram("x", np.array([-5.0, 0.3, 5.0]))


def test_yields_count_once_and_only_if_asked(published, random) -> None:
    events = toys.truth(4000, random)
    right, wrong = toys.prediction("right", events, 0.5), toys.prediction("wrong", events, 0.5e-3)
    found = compare(published, [right, wrong], normalised=False, record=Record.for_tests())["predictions"]
    assert found["right"]["total"]["ratio"] == pytest.approx(1.0, abs=0.1)
    assert found["right"]["total"]["chi2"]["p"] > 1e-3
    assert any("too small by 1000" in note for note in found["wrong"]["notes"])
    assert compare(published, [right], record=Record.for_tests())["predictions"]["right"]["total"] is None
