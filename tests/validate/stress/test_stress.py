"""The stress suite on a Gaussian: what must pass passes, what is built to fail fails, and both are said in words."""

from __future__ import annotations

import json

import numpy as np
import pytest

from truthward.errors import ConfigError
from truthward.events.bins import bin_of
from truthward.events.table_write import write_table
from truthward.events.unfolded import FAMILIES, family
from truthward.physics.generators.gaussian import Gaussian
from truthward.records import read_record
from truthward.records.validate.stress import Stressed, StressTable
from truthward.report.stress import LIMIT
from truthward.report.stress import stress as draw
from truthward.run.provenance import Record
from truthward.study.observable import Observable
from truthward.unfold.contract import Result
from truthward.unfold.ibu import Ibu
from truthward.unfold.inputs.arrays import NOMINAL, Replica
from truthward.validate.section import Stress, StressReplicas
from truthward.validate.stress import scenarios as made
from truthward.validate.stress.stage import run, stress, without_pseudo_data
from truthward.validate.stress.table import summarise
from truthward.validate.stress.verdict import SIGMAS, StressSums, edges_of, judge, significance

OBSERVABLES = [Observable(name="x0", range=(6.0, 14.0), bins=40)]
OPTIONS = Stress(scale=1.03).model_dump(exclude={"replicas", "events"})
REPLICAS = {"data_bootstrap": 15, "mc_bootstrap": 15}


def sample(events: int, seed: int, *, mean: float = 10.0, width: float = 1.0, slope: float = 0.0) -> dict:
    """Two dimensions; `slope`: how much the second, which is not unfolded, shifts the first at reco level."""
    rng = np.random.default_rng(seed)
    columns = Gaussian(dimensions=2, mean=[mean, 0.0], width=[width, 1.0], resolution=0.3, expected=float(events)).draw(
        events, rng
    )
    both = columns["pass_truth"] & columns["pass_reco"]
    columns["reco_x0"] = columns["reco_x0"] + np.where(both, slope * columns["truth_x1"], 0).astype(np.float32)
    columns["process"] = np.where(columns["process"] == 0, "signal", "background")
    columns["event_id"] = np.arange(events, dtype=np.uint64) + np.uint64(seed * 10**9)
    return columns


def data() -> dict:
    return {n: v for n, v in sample(8000, 2, mean=10.2, width=1.1).items() if "truth" not in n}


def make(simulation: dict | None = None, **changes) -> dict[str, made.Scenario]:
    simulation = simulation or sample(8000, 1)
    found = made.scenarios(simulation, data(), OBSERVABLES, seed=3, **OPTIONS | changes)
    return {s.name: s for s in found}


@pytest.fixture(scope="module")
def ran() -> dict:
    found = run(
        Ibu(), sample(20000, 1, slope=0.3), data(), OBSERVABLES, replicas=REPLICAS, seeds=1, epochs=2, seed=3, **OPTIONS
    )
    return {entry["name"]: entry for entry in found}


def test_no_event_is_on_both_sides_and_none_is_lost() -> None:
    simulation = sample(8000, 1)
    for name, scenario in make(simulation).items():
        used, seen = set(scenario.inputs.event_id.tolist()), set(scenario.inputs.data_id.tolist())
        assert not used & seen, name
        accepted = set(simulation["event_id"][simulation["pass_reco"]].tolist())
        if name != made.STARVED:
            assert accepted <= used | seen
        else:
            assert len(used) == pytest.approx(400, abs=80)


def test_the_weights_depend_on_truth_alone_and_are_those_of_data_and_truth_alike() -> None:
    simulation = sample(8000, 1)
    weight = dict(zip(simulation["event_id"].tolist(), simulation["weight"].tolist(), strict=True))
    found = make(simulation)
    for name in (made.PRIOR, made.HIDDEN, made.STARVED, made.DATA):
        s = found[name]
        assert len(s.weight) == len(s.truth["x0"])
        given = np.array([weight[i] for i in s.inputs.data_id.tolist()])
        factor = s.inputs.data_weight / given
        assert factor.max() / factor.min() > 1.3, name
        # Fakes keep their weight: there is no truth to weight them by.
        assert (np.abs(factor - 1) < 1e-9).mean() > 0.03
        x = s.truth["x1" if name == made.HIDDEN else "x0"]
        low, high = (
            np.average(s.factor({**s.truth})[x < 0 if name == made.HIDDEN else x < 10]),
            np.average(s.factor(s.truth)[x > 0 if name == made.HIDDEN else x > 10]),
        )
        assert high > 1.1 * low
    same = found[made.MISMATCH]
    assert same.factor is None
    assert np.mean(same.inputs.data_reco) == pytest.approx(
        1.03 * np.mean(found[made.PRIOR].inputs.reco[found[made.PRIOR].inputs.pass_reco]), rel=0.01
    )


def test_the_data_driven_truth_goes_towards_the_data() -> None:
    s = make()[made.DATA]
    prior = np.average(s.truth["x0"])
    # Data: 10.2; one step of Bayes with a good resolution goes most of the way.
    assert 0.1 < np.average(s.truth["x0"], weights=s.weight) - prior < 0.25
    assert np.average(s.inputs.data_reco[:, 0], weights=s.inputs.data_weight) == pytest.approx(
        np.average(data()["reco_x0"][data()["pass_reco"]]), abs=0.06
    )


def test_what_must_pass_passes_and_what_is_built_to_fail_fails_unseen(ran) -> None:
    for name in (made.PRIOR, made.STARVED, made.DATA):
        assert ran[name]["verdict"]["passes"], ran[name]["verdict"]
    for name in (made.MISMATCH, made.HIDDEN):
        verdict = ran[name]["verdict"]
        assert verdict["truth"]["sigma"] > SIGMAS
        assert verdict["refold_passes"]
        assert verdict["missed"]
        assert "reco-level agreement cannot certify the particle level" in verdict["words"]
    assert ran[made.PRIOR]["verdict"]["triangular"]["after"] < 0.5 * ran[made.PRIOR]["verdict"]["triangular"]["before"]
    assert "further from the truth than the simulation was" in ran[made.MISMATCH]["verdict"]["words"]
    assert 2.4 < ran[made.STARVED]["verdict"]["growth"] < 4.2
    assert json.dumps(ran, allow_nan=False)


def test_a_hidden_variable_that_does_not_matter_is_survived() -> None:
    found = run(Ibu(), sample(8000, 1), data(), OBSERVABLES, replicas=REPLICAS, seeds=1, epochs=2, seed=3, **OPTIONS)
    assert next(e for e in found if e["name"] == made.HIDDEN)["verdict"]["passes"]


class Frozen(Ibu):
    """Returns the simulation as it is: what a method that does nothing would."""

    def unfold(self, inputs, replicas, *, seed, nominal=None, state=None, key=""):
        fiducial = inputs.fiducial
        columns = {r.column("x0"): inputs.varied(r).weight[fiducial] for r in replicas}
        return Result(inputs.rows(columns), [])


def test_a_method_that_keeps_its_prior_fails_and_refolding_objects() -> None:
    found = run(Frozen(), sample(8000, 1), data(), OBSERVABLES, replicas=REPLICAS, seeds=1, epochs=2, seed=3, **OPTIONS)
    verdict = {e["name"]: e["verdict"] for e in found}
    assert verdict[made.PRIOR]["passes"] is False
    assert verdict[made.PRIOR]["refold_passes"] is False
    assert verdict[made.PRIOR]["missed"] is False
    # Its truth is right where nothing but the detector was changed: refolding alone sees that one.
    assert verdict[made.MISMATCH]["passes"]
    assert verdict[made.MISMATCH]["refold_passes"] is False


def test_a_better_known_truth_takes_the_place_of_the_events() -> None:
    def twice(scenario, observable):
        place = bin_of(scenario.truth[observable.name], observable.edges)
        return 2.0 * np.bincount(place, scenario.weight, minlength=observable.bins + 2)

    found = run(
        Ibu(),
        sample(8000, 1),
        data(),
        OBSERVABLES,
        replicas=REPLICAS,
        seeds=1,
        epochs=2,
        seed=3,
        expected=twice,
        **OPTIONS,
    )
    assert not any(e["verdict"]["passes"] for e in found)


def test_what_a_scenario_needs_and_is_not_there_is_skipped_or_refused() -> None:
    alone = {n: v for n, v in sample(4000, 1).items() if n != "truth_x1"}
    found = make(alone)
    assert found[made.HIDDEN].inputs is None
    assert "not unfolded" in found[made.HIDDEN].skipped
    whole = [OBSERVABLES[0].model_copy(update={"integer": True})]
    skipped = [s for s in made.scenarios(alone, data(), whole, seed=3, **OPTIONS) if s.skipped]
    assert [s.name for s in skipped] == [made.HIDDEN, made.MISMATCH]
    with pytest.raises(ConfigError, match="hidden"):
        make(hidden="x7")
    with pytest.raises(ConfigError, match="scaled"):
        make(scaled="x1")


def test_constituents_go_with_their_events() -> None:
    simulation = sample(2000, 1)
    for level in ("truth", "reco"):
        simulation[f"{made.CONSTITUENTS}{level}"] = np.repeat(simulation["event_id"].astype(np.float64), 2).reshape(
            -1, 2
        )
    scenarios = made.scenarios(simulation, data(), OBSERVABLES, seed=3, **OPTIONS)
    first, _, mismatch = (next(scenarios) for _ in range(3))
    given = first.inputs.constituents
    for level, ids in (
        ("truth", first.inputs.event_id),
        ("reco", first.inputs.event_id),
        ("data", first.inputs.data_id),
    ):
        assert np.array_equal(given[level][:, 0], ids.astype(np.float64))
    assert "constituents" in mismatch.skipped


@pytest.mark.parametrize("joint", [True, False])
def test_sums_are_those_of_every_replica_block_by_block_or_not(joint: bool) -> None:
    families = {n: family(n, 2) for n in ("data_bootstrap", "initialisation")}
    assert set(families) <= set(FAMILIES)
    x = np.linspace(6.5, 13.5, 8).astype(np.float32)
    replicas = [NOMINAL, *(Replica(n, i) for n in families for i in range(2))]
    columns = {r.column(None if joint else "x0"): np.full(8, 1.0 + k) for k, r in enumerate(replicas)}
    ids = np.arange(8, dtype=np.uint64)
    rows = (
        [{"truth_x0": x, "event_id": ids, n: w} for n, w in columns.items()]
        if joint
        else [{"truth_x0": x, "event_id": ids, **columns}]
    )
    sums = StressSums(Result(rows, []), {"x0": np.array([6.0, 10.0, 14.0])}, families, joint=joint)
    histogram = sums.histograms["x0"]
    assert histogram.nominal.tolist() == [0, 4, 4, 0]
    assert histogram.replicas["initialisation"][1].tolist() == [0, 20, 20, 0]
    assert (sums.values.size == 0) != joint
    if joint:
        assert sums.values.tolist() == x[:, None].tolist()


def entry(p: float, refold: float, pulls: list[float], *, after: float = 1.0) -> dict:
    truth = {"pulls": pulls, "sigma": [1.0] * len(pulls), "truth": [10.0] * len(pulls)}
    return {"chi2": {"p": p}, "refold": {"p": refold}, "truth": truth, "triangular": {"before": 5.0, "after": after}}


def test_verdicts_follow_their_rules() -> None:
    two = {"x": entry(0.5, 0.5, [0.5, -0.5]), "y": entry(0.002, 0.5, [3.5, 0.0])}
    # 0.002 of two tests is within three sigma, of one it is not.
    assert judge(made.PRIOR, two, unstarved=None, share=0.1)["passes"]
    alone = judge(made.PRIOR, {"y": two["y"]}, unstarved=None, share=0.1)
    assert (alone["passes"], alone["missed"], alone["largest_pull"], alone["inside"]) == (False, True, 3.5, 0.5)
    both = judge(made.PRIOR, {"y": entry(1e-9, 1e-9, [7.0])}, unstarved=None, share=0.1)
    assert (both["passes"], both["missed"]) == (False, False)
    assert "refolding objects" in both["words"]
    fine = {"x": two["x"]}
    assert judge(made.STARVED, fine, unstarved=0.04, share=0.1)["passes"]
    static = judge(made.STARVED, fine, unstarved=0.09, share=0.1)
    assert static["passes"] is False
    assert "grow by 1.11 only" in static["words"]
    unknown = judge(made.PRIOR, {"x": {**two["x"], "chi2": {"p": None}}}, unstarved=None, share=0.1)
    assert unknown["passes"] is None
    assert significance([{"p": 0.0}])["sigma"] > 30


def test_the_figure_and_the_verdicts_have_one_limit() -> None:
    assert LIMIT == SIGMAS


def test_bins_are_few_enough_for_the_replicas() -> None:
    x = np.random.default_rng(1).normal(10, 1, 4000)
    assert len(edges_of(OBSERVABLES[0], x, np.ones(4000), {"data_bootstrap": 15, "mc_bootstrap": 15})) == 7
    assert len(edges_of(OBSERVABLES[0], x, np.ones(4000), {"data_bootstrap": 5, "mc_bootstrap": 5})) == 3


def test_the_stage_writes_what_the_table_reads(tmp_path) -> None:
    paths = {}
    for name, columns in (("simulation", sample(6000, 1, slope=0.3)), ("data", data())):
        paths[name] = tmp_path / f"{name}.parquet"
        write_table(paths[name], [columns], observables={}, role=name, selection={}, record=Record.for_tests())
    stressed = {}
    for method in ("one", "other"):
        stressed[method] = tmp_path / f"{method}.json"
        given = {"method": method, **paths, "observables": OBSERVABLES, "replicas": REPLICAS, **OPTIONS}
        content = stress(
            {"kind": "ibu"},
            **given,
            events=5000,
            seeds=1,
            epochs=2,
            seed=3,
            record=Record.for_tests(),
            output=stressed[method],
        )
        assert read_record(stressed[method], Stressed) == content
        assert content["provenance"]["events_in"] == pytest.approx(5000, abs=150)
    out = {f"output_{e}": tmp_path / f"stress.{e}" for e in ("json", "csv", "md")}
    table = summarise(stressed, record=Record.for_tests(), **out)
    assert read_record(out["output_json"], StressTable) == table
    assert [(r["scenario"], r["method"]) for r in table["rows"]][:2] == [("prior_swap", "one"), ("prior_swap", "other")]
    assert len(table["rows"]) == 10
    assert any(line.startswith("one passes") for line in table["conclusions"])
    assert "Response mismatch" in table["conclusions"][-1]
    lines = out["output_csv"].read_text().splitlines()
    assert len(lines) == 11
    drawn = draw(table)
    shown = [row for row in table["rows"] if row["verdict"]]
    for panel, key in zip(drawn.axes, ("truth_sigma", "refold_sigma"), strict=False):
        points = [line.get_xdata()[0] for line in panel.lines if line.get_marker() == "o"]
        assert points == [row[key] for row in shown]
        assert panel.get_xlim()[1] > max(points)
    filled = [line.get_markerfacecolor() != "white" for line in drawn.axes[0].lines if line.get_marker() == "o"]
    assert filled == [row["verdict"] == "pass" for row in shown]
    # A suite in which nothing could be judged is drawn all the same.
    assert draw({"rows": [row | {"verdict": None} for row in table["rows"]]}).axes
    assert "refolding alone" in out["output_md"].read_text()


def test_the_fewest_replicas_of_the_config_still_give_a_verdict() -> None:
    fewest = dict.fromkeys(REPLICAS, 5)
    assert StressReplicas(**fewest)
    with pytest.raises(ValueError, match="greater than or equal to 5"):
        StressReplicas(data_bootstrap=4)
    found = run(Ibu(), sample(8000, 1), data(), OBSERVABLES, replicas=fewest, seeds=1, epochs=2, seed=3, **OPTIONS)
    assert all(e["verdict"]["passes"] is not None for e in found)


def test_a_rule_that_needs_pseudo_data_makes_all_iterations_of_a_scenario(caplog):
    entry = {"kind": "omnifold", "stop": {"rule": "closure"}, "iterations": 8}
    assert without_pseudo_data(entry, "m") == entry | {"stop": {"rule": "fixed"}}
    assert "m: stress tests have no pseudo-data" in caplog.text
    assert without_pseudo_data({"kind": "ibu"}, "m") == {"kind": "ibu"}
