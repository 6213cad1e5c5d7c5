"""A method's validation passes an honest result and flags, with the right tool, each way to break one."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from tests.records.examples import example
from truthward.errors import InputError
from truthward.records import read_record
from truthward.records.validate.method import ValidatedMethod
from truthward.records.validate.methods import MethodsTable
from truthward.records.validate.posterior import Uniformity, ValidatedPosterior
from truthward.run.artefact import write_json
from truthward.run.provenance import Record
from truthward.validate.method.stage import NO_TRUTH, NOT_JOINT, validate_method
from truthward.validate.table import _in_bins_of, compare


def run(study, unfolded, data, truth, observables, **changes):
    options = {"seeds": 2, "epochs": 3, "events": 10**6, "seed": 7, "record": Record.for_tests()} | changes
    output = study.folder / f"{unfolded.stem}.json"
    content = validate_method(
        unfolded,
        simulation=study.simulation(),
        data=data,
        closure_truth=truth,
        observables=observables,
        output=output,
        **options,
    )
    assert read_record(output, ValidatedMethod) == content
    return content


def flagged(content):
    return {f["test"] for f in content["flags"]}


def test_an_honest_result_is_not_flagged_and_its_prior_is_far_off(study, observables):
    data, truth = study.data()
    content = run(study, study.unfolded(truth), data, study.closure_truth(), observables)
    assert content["flags"] == []
    assert content["history"] == [{"replica": "nominal:0", "iteration": 0, "yield": float(len(truth["x"]))}]
    assert content["weights"]["effective_sample_size"] == pytest.approx(len(truth["x"]))
    x = content["observables"]["x"]
    size = x["triangular"]["floor"]["size"]
    assert x["triangular"]["floor"]["mean"] == pytest.approx(500 * 20 / size, rel=0.1)
    assert x["triangular"]["prior"]["significance"] > 10
    assert content["observables"]["k"]["triangular"]["data"]["significance"] > 5
    assert len(x["triangular"]["unfolded"]["replicas"]["initialisation"]["values"]) == 4
    assert x["chi2"]["unfolded"]["ndf"] <= 10
    assert x["chi2"]["prior"]["p"] < 1e-10
    assert x["refold"]["prior"]["chi2"]["p"] < 1e-10
    assert x["refold"]["marginal"]["chi2"]["p"] != x["refold"]["unfolded"]["chi2"]["p"]
    assert content["names"] == ["x", "k"]
    assert abs(x["pulls"]["summary"]["mean"]) < 1
    assert 0.5 < x["pulls"]["summary"]["width"] < 1.6
    assert abs(content["yield"]["pull"]) < 3
    assert content["two_sample"]["prior"]["significance"] > 8
    assert x["wasserstein1"]["prior"]["value"] == pytest.approx(0.3, abs=0.07)
    own = x["histogram"]["own"]
    assert sum(own["truth"]["sum"]) == pytest.approx(np.sum(own["unfolded"]["sum"]), rel=0.05)
    assert sum(own["unit_area"]["truth"]["sum"]) == pytest.approx(1)
    assert sum(own["unit_area"]["unfolded"]["sum"]) == pytest.approx(1)
    assert set(own["unfolded"]["families"]) == {"data_bootstrap", "mc_bootstrap", "initialisation"}
    # Poisson bootstraps: each bin's error is the root of its content, initialisation apart.
    both = np.hypot(*(own["unfolded"]["families"][f] for f in ("data_bootstrap", "mc_bootstrap")))
    assert np.median(both / np.sqrt(own["unfolded"]["sum"])) == pytest.approx(1, abs=0.1)


def test_a_shifted_result_is_flagged_by_all_that_look_at_shape(study, observables):
    data, truth = study.data()
    shifted = study.truth(len(truth["x"]), 9, shift=0.2)
    content = run(study, study.unfolded(shifted), data, study.closure_truth(), observables)
    assert flagged(content) >= {"triangular", "wasserstein1", "refold", "two_sample"}
    assert "yield" not in flagged(content)
    # Ten bins from thirty replicas: Hotelling's tail leaves the chi2 less power than the others have.
    assert content["observables"]["x"]["chi2"]["unfolded"]["p"] < 0.02


def test_a_wrong_normalisation_is_flagged_by_what_looks_at_yields_alone(study, observables):
    data, truth = study.data()
    content = run(study, study.unfolded(truth, scale=1.15), data, study.closure_truth(), observables)
    assert "yield" in flagged(content)
    assert not flagged(content) & {"triangular", "wasserstein1", "two_sample"}
    assert content["yield"]["ratio"] == pytest.approx(1.15, abs=0.07)


def test_a_wrong_response_is_flagged_by_refolding_alone(study, observables):
    data, truth = study.data(bias=0.25)
    content = run(study, study.unfolded(truth), data, study.closure_truth(), observables)
    assert [(f["test"], f["observable"]) for f in content["flags"]] == [("refold", "x")]


def test_without_truth_everything_that_needs_none_is_there(study, observables):
    data, truth = study.data()
    content = run(study, study.unfolded(truth), data, None, observables)
    x = content["observables"]["x"]
    assert x["triangular"] is x["chi2"] is x["pulls"] is x["wasserstein1"] is None
    assert content["two_sample"]["reason"] == NO_TRUTH
    assert "truth" not in content["yield"]
    assert "truth" not in x["histogram"]["own"]
    assert x["refold"]["unfolded"]["chi2"]["p"] > 1e-3
    assert x["distance_to_prior"]["triangular"] > 5
    assert content["flags"] == []


def test_a_method_of_one_observable_at_a_time_has_no_joint_sample(study, observables):
    data, truth = study.data()
    content = run(study, study.unfolded(truth, joint=False), data, study.closure_truth(), observables)
    none = dict.fromkeys(("unfolded", "prior", "floor", "reco"))
    assert content["two_sample"] == none | {"reason": NOT_JOINT}
    assert content["flags"] == []
    assert set(content["weights"]["per_observable"]) == {"x", "k"}
    refold = content["observables"]["x"]["refold"]
    assert refold["marginal"]["chi2"] == refold["unfolded"]["chi2"]


def test_more_events_than_unbinned_figures_take(study, observables):
    data, truth = study.data()
    closure = study.closure_truth()
    result = study.unfolded(truth)
    whole = run(study, result, data, closure, observables)
    content = run(study, result, data, closure, observables, events=3000)
    assert {what: s["used"] for what, s in content["used"].items()} == dict.fromkeys(content["used"], 3000)
    assert content["used"]["prior"]["events"] == whole["used"]["prior"]["used"] > 3000
    for name in ("x", "k"):
        mine, all_events = content["observables"][name], whole["observables"][name]
        # Binned figures are of all events whatever the limit: the same to the last digit.
        for key in ("chi2", "pulls", "yield", "histogram"):
            assert mine[key] == all_events[key]
        assert mine["triangular"]["prior"]["value"] == all_events["triangular"]["prior"]["value"]
        assert mine["refold"]["marginal"] == all_events["refold"]["marginal"]
        found, expected = (f["wasserstein1"]["prior"] for f in (mine, all_events))
        assert found["floor"]["mean"] == pytest.approx(expected["floor"]["mean"] * np.sqrt(3800 / 3000), rel=0.1)
        assert abs(found["value"] - expected["value"]) < 5 * found["floor"]["sd"]
        # The response is that of all events too, those that no classifier was trained upon included.
        assert mine["refold"]["unfolded"]["chi2"]["p"] > 1e-3
        folded, expected = (np.array(f["refold"]["unfolded"]["folded"]) for f in (mine, all_events))
        assert np.abs(folded - expected).max() < 0.2 * np.sqrt(expected.max())
    assert content["weights"] == whole["weights"]
    assert content["two_sample"]["prior"]["effective_sizes"] == [3000, 3000]
    assert content["two_sample"]["prior"]["significance"] > 6
    assert content["flags"] == []
    out = {f"output_{e}": study.folder / f"methods.{e}" for e in ("json", "csv", "md")}
    compare({"toy": study.folder / f"{result.stem}.json"}, record=Record.for_tests(), **out)
    assert "of 3000 events of each larger sample" in out["output_md"].read_text()


def test_observables_that_were_not_unfolded_are_refused_by_name(study, observables):
    data, truth = study.data()
    other = [observables[0].model_copy(update={"name": "z"})]
    with pytest.raises(InputError, match="unfolds x, k"):
        run(study, study.unfolded(truth), data, None, other)


def test_the_table_has_all_rows_and_says_who_is_better(study, observables):
    data, truth = study.data()
    closure = study.closure_truth()
    paths = {}
    for name, joint in (("joint", True), ("binned", False)):
        result = study.unfolded(truth, name=name, joint=joint)
        run(study, result, data, closure, observables)
        paths[name] = study.folder / f"{result.stem}.json"
    out = {f"output_{e}": study.folder / f"methods.{e}" for e in ("json", "csv", "md")}
    figures = example(Uniformity)
    figures["chi2"]["p"], figures["ks"]["p"] = 0.4, 0.03
    checked = example(ValidatedPosterior) | {"ranks": {"x": figures}, "tarp": figures, "flags": []}
    checked["used"]["used"] = 50
    posteriors = {"joint": study.folder / "posterior.joint.json", "map": study.folder / "posterior.map.json"}
    for name, path in posteriors.items():
        write_json(path, checked | {"conditional": name == "joint"})
    content = compare(paths, posteriors=posteriors, record=Record.for_tests(), **out)
    assert read_record(out["output_json"], MethodsTable) == content
    rows = [r["name"] for r in content["rows"]]
    assert rows == ["joint", "binned", "data before unfolding", "simulation before unfolding", "floor"]
    assert content["better_than_prior"] == {"joint": 2, "binned": 2}
    assert content["rows"][1]["auc"] is None
    assert content["rows"][3]["auc"]["value"] > content["rows"][0]["auc"]["value"]
    lines = out["output_csv"].read_text().splitlines()
    assert len(lines) == 6
    assert {len(line.split(",")) for line in lines} == {2 + 3 * 2 + 6 + 3}
    markdown = out["output_md"].read_text()
    assert "| simulation before unfolding |" in markdown
    assert "±" in markdown
    assert "of all rows in the declared bins" in markdown
    assert "Posteriors of joint on 50 held-out events: smallest p of the ranks 0.03" in markdown
    assert re.search("Posteriors of map.* it maps distributions and states none", markdown)
    assert content["provenance"]["events_out"] == 5


def test_a_table_without_truth_is_still_a_table(study, observables):
    data, truth = study.data()
    result = study.unfolded(truth)
    run(study, result, data, None, observables)
    out = {f"output_{e}": study.folder / f"methods.{e}" for e in ("json", "csv", "md")}
    content = compare({"toy": study.folder / f"{result.stem}.json"}, record=Record.for_tests(), **out)
    assert content["better_than_prior"] == {"toy": None}
    assert content["rows"][0]["triangular"] == {"x": None, "k": None}
    (found,) = (json.loads(p.read_text()) for p in [study.folder / f"{result.stem}.json"])
    p = [o["refold"]["unfolded"]["chi2"]["p"] for o in found["observables"].values()]
    assert content["rows"][0]["refold_p"] == pytest.approx(min(p))
    with pytest.raises(InputError, match="no validated method"):
        compare({}, record=Record.for_tests(), **out)


def test_methods_are_compared_in_the_bins_that_one_unfolded():
    def of(edges, unfolded, binned):
        own = {"edges": edges, "unfolded": {"sum": unfolded}, "truth": {"sum": [2.0, 2.0]}}
        refold = {"unfolded": {"edges": [0.0, 1.0, 2.0, 3.0, 4.0]}}
        return {"observables": {"x": {"binned": binned, "histogram": {"own": own}, "refold": refold}}}

    found = {
        "ibu": of([0.0, 2.0, 4.0], [2.0, 2.0], True),
        "omnifold": of([0.0, 1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 0.5, 0.5], False),
    }
    compared = _in_bins_of("ibu", found)
    assert (compared["bins"], compared["declared"]) == ({"x": 2}, {"x": 4})
    # Densities 3 / 8 and 1 / 8 where 1 / 4 is right, in bins two wide: sum of (p - q)^2 / (p + q).
    assert compared["triangular"]["ibu"]["x"] == 0
    assert compared["triangular"]["omnifold"]["x"] == pytest.approx(
        1e3 * ((1 / 8) ** 2 / (5 / 8) + (1 / 8) ** 2 / (3 / 8))
    )
