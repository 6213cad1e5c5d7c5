"""Every rule of the verdict has an input that must trigger it and one, nearby, that must not."""

from __future__ import annotations

import copy

import pytest

from truthward.validate.method.verdict import RULES, Given, judge

FAMILIES = {"data_bootstrap": 30, "mc_bootstrap": 30, "systematic:closure": 1}
N, BINS = 10_000, 10

FAR = {"auc": {"mean": 0.52}, "significance": 10.0}


def refold(chi2: float = 10.0, *, p: float = 0.5, folded: float = N / BINS, before: float = 4000.0, lost: float = 0.0):
    data = [N / BINS] * BINS
    result = {"data": data, "data_sigma": [d**0.5 for d in data], "folded": [folded] * BINS}
    result |= {"folded_sigma": [0.0] * BINS, "without_response": lost, "chi2": {"value": chi2, "ndf": BINS, "p": p}}
    return {"unfolded": result, "prior": {"chi2": {"value": before + BINS, "ndf": BINS, "p": 0.0}}}


def good() -> Given:
    """A result that no rule objects to, of a study with a truth."""
    test = {"auc": {"mean": 0.501}, "significance": 1.0}
    observable = {
        "refold": refold(),
        "published": {"bins": 10, "replicas": 30},
        "coverage": {"pulls": 5 * [1.0, -1.0]},
        "binned": False,
    }
    weights = {"effective_sample_size": 8000.0, "events": N, "largest_over_mean": 5.0, "rows_an_event": 1.0}
    content = {
        "closure": True,
        "observables": {"m": observable, "w": copy.deepcopy(observable)},
        "families": FAMILIES,
        "uncertainty": "total uncertainty",
        "history": [
            {"iteration": 0, "change": 2.0, "normalisation_reco": 0.4},
            {"iteration": 1, "change": 0.05, "normalisation_reco": 0.01},
        ],
        "stopping": {"tolerance": 0.1, "largest": 2},
        "weights": weights | {"per_observable": None},
        "prior_share": 0.9,
        "two_sample": {
            "unfolded": test,
            "prior": {"auc": {"mean": 0.7}},
            "floor": {"auc": {"mean": 0.5}},
            "reco": test,
        },
        "yield": {"pull": 0.5, "ratio": 1.01},
        "flags": [],
    }
    uniform = {"chi2": {"p": 0.4}, "ks": {"p": 0.4}, "spread": {"value": 1.0}}
    posterior = {"flags": [], "ranks": {"m": uniform}, "tarp": uniform}
    return Given(content, posterior, {"simulation": [], "data": []}, ["systematic:closure"])


def with_refold(**changes):
    def edit(given: Given) -> None:
        given.content["observables"]["m"]["refold"] = refold(**changes)

    return edit


def with_test(which: str, auc: float, significance: float = 10.0):
    def edit(given: Given) -> None:
        given.content["two_sample"][which] = {"auc": {"mean": auc}, "significance": significance}

    return edit


def with_posterior(spread: float, p: float):
    def edit(given: Given) -> None:
        found = {"chi2": {"p": p}, "ks": {"p": 0.5}, "spread": {"value": spread}}
        given.posterior.update(flags=[{}], ranks={"m": found})

    return edit


def put(*path, value):
    def edit(given: Given) -> None:
        at = given.content
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value

    return edit


def edits(*each):
    def edit(given: Given) -> None:
        for one in each:
            one(given)

    return edit


# The excess of chi2 over the number of events is the mean square of the relative deviation: 0.01^2 and 0.2^2 of 10,000.
# Rule -> (nothing, a warning, a failure where the rule has one), each an edit of the good result.
CASES = {
    "refolded shape": (with_refold(chi2=11, p=0.4), with_refold(chi2=110, p=1e-15), with_refold(chi2=410, p=1e-50)),
    "refolded chi2 left": (
        with_refold(chi2=40, p=1e-5, before=150.0),
        with_refold(chi2=40, p=1e-5, before=75.0),
        with_refold(chi2=40, p=1e-5, before=50.0),
    ),
    "refolded yield": (with_refold(folded=1005), with_refold(folded=1040), with_refold(folded=1060)),
    "reco-level classifier": (with_test("reco", 0.56, 3.0), with_test("reco", 0.52), with_test("reco", 0.56)),
    "truth without response": (with_refold(lost=0.0005), with_refold(lost=0.005), with_refold(lost=0.02)),
    "norm of the density ratios": tuple(
        put("history", 1, "normalisation_reco", value=value) for value in (0.04, -0.06, 0.31)
    ),
    "effective size lost": tuple(put("weights", "effective_sample_size", value=v) for v in (1000.0, 800.0, 80.0)),
    "share of the largest weight": tuple(put("weights", "largest_over_mean", value=v) for v in (90.0, 110.0, 1100.0)),
    "change at the last iteration": (
        put("history", 1, "change", value=0.09),
        put("history", 1, "change", value=0.11),
        None,
    ),
    "posteriors": (with_posterior(1.5, 0.01), with_posterior(1.1, 1e-4), with_posterior(1.4, 1e-4)),
    "flags at ingest": (lambda given: None, lambda given: given.ingest["data"].append("m is constant"), None),
    "model uncertainty": (
        put("families", value={"systematic:closure": 1}),
        put("families", value={"data_bootstrap": 30, "systematic:jes": 2}),
        None,
    ),
    "replicas": (
        put("observables", "m", "published", "replicas", value=None),
        put("observables", "m", "published", "replicas", value=29),
        None,
    ),
    "classifier against the truth": (
        with_test("unfolded", 0.56, 3.0),
        with_test("unfolded", 0.52),
        edits(with_test("unfolded", 0.56), put("families", value={"data_bootstrap": 30})),
    ),
    "gain over the simulation": (
        put("two_sample", "prior", "auc", "mean", value=0.502),
        put("two_sample", value={"unfolded": FAR, "prior": {"auc": {"mean": 0.53}}, "floor": None}),
        put("two_sample", value={"unfolded": FAR, "prior": {"auc": {"mean": 0.52}}, "floor": None}),
    ),
    "coverage": tuple(put("observables", "m", "coverage", "pulls", value=[v] * 10) for v in (1.7, -2.0, 4.0)),
    "bands too wide": (
        put("observables", "m", "coverage", "pulls", value=[0.1] * 10),
        lambda given: [o["coverage"].update(pulls=[0.1, -0.2] * 5) for o in given.content["observables"].values()],
        None,
    ),
    "true yield": (
        put("yield", value={"pull": 3.0, "ratio": 1.2}),
        put("yield", value={"pull": 5.0, "ratio": 1.02}),
        put("yield", value={"pull": -5.0, "ratio": 0.9}),
    ),
    "distance to the truth": (
        put("flags", value=[{"test": "refold", "observable": "m"}]),
        put("flags", value=[{"test": "triangular", "observable": "m"}]),
        None,
    ),
}
LEVELS = ("good", "warnings", "failed")


def test_every_rule_has_its_cases():
    assert list(CASES) == [rule.name for rule in RULES]
    for rule in RULES:
        assert (CASES[rule.name][2] is None) == (rule.fails is None), rule.name


def test_a_good_result_is_good():
    assert judge(good()) == {"verdict": "good", "reasons": [], "without_truth": False}


def says(name: str, given: Given) -> int:
    """The level that one rule comes to: 0, 1, 2."""
    (rule,) = (rule for rule in RULES if rule.name == name)
    return max((rule.level(value, given) for value, _ in rule.measure(given)), default=0)


@pytest.mark.parametrize(
    ("name", "level"), [(name, k) for name, cases in CASES.items() for k, case in enumerate(cases) if case is not None]
)
def test_a_rule_triggers_where_it_must_and_not_where_it_must_not(name, level):
    given = copy.deepcopy(good())
    CASES[name][level](given)
    assert says(name, given) == level
    found = judge(given)
    assert LEVELS.index(found["verdict"]) >= level
    assert bool(found["reasons"]) == (found["verdict"] != "good")


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.truth], ids=lambda rule: rule.name)
def test_without_a_truth_rules_that_need_it_say_nothing(rule):
    given = good()
    for observable in given.content["observables"].values():
        observable["coverage"] = None
    given.content["two_sample"] = dict.fromkeys(("unfolded", "prior", "floor")) | {"reco": None}
    given.content["yield"] = {"value": 1.0}
    given.content["closure"] = False
    assert not list(rule.measure(given))
    assert judge(given) == {"verdict": "good", "reasons": [], "without_truth": True}


def test_without_a_truth_a_result_can_still_fail_and_the_worst_reason_comes_first():
    given = copy.deepcopy(good())
    given.content["closure"] = False
    given.content["families"] = {"data_bootstrap": 30}
    with_refold(chi2=410, p=1e-50)(given)
    found = judge(given)
    assert found["verdict"] == "failed"
    assert found["reasons"][0] == "folded back, m is 20.0% (rms) from the data, p = 1e-50"
    assert "no model uncertainty" in found["reasons"][-1]


def test_the_change_counts_only_where_the_iterations_ran_out():
    given = copy.deepcopy(good())
    given.content["history"][1]["change"] = 5.0
    given.content["stopping"]["largest"] = 9
    assert says("change at the last iteration", given) == 0
    given.content["stopping"] = {"tolerance": None, "largest": 2}
    assert says("change at the last iteration", given) == 0
    given.content["history"] = [{"iteration": 99, "observable": "m", "changes": [3.0] * 99 + [0.2]}]
    given.content["stopping"] = {"tolerance": 0.1, "largest": 100}
    assert says("change at the last iteration", given) == 1


def test_a_balance_counts_only_where_the_iterations_ran_out_with_bias_left():
    given = copy.deepcopy(good())
    curves = {"bias": [9.0, 4.0, 2.0], "variance": [0.2, 0.4, 0.5], "tolerance": None, "largest": 3}
    given.content["stopping"] = curves | {"chosen": 2}
    assert says("change at the last iteration", given) == 0
    given.content["stopping"] = curves | {"chosen": 3}
    assert says("change at the last iteration", given) == 1
    given.content["stopping"] = curves | {"chosen": 3, "bias": [9.0, 4.0, 0.4]}
    assert says("change at the last iteration", given) == 0


def test_a_learned_ratio_that_is_wrong_itself_does_not_fail_the_result():
    given = copy.deepcopy(good())
    with_test("reco", 0.56)(given)
    assert says("reco-level classifier", given) == 2
    given.content["two_sample"]["ratio"] = {"auc": {"mean": 0.57}}
    assert says("reco-level classifier", given) == 0


@pytest.mark.parametrize(
    ("pull", "families", "level"),
    [
        (1.4, FAMILIES, 1),
        (1.6, FAMILIES, 2),
        (1.4, {"data_bootstrap": 30, "systematic:jes": 2}, 2),
    ],
)
def test_a_nominal_far_from_the_truth_only_warns_where_bands_with_a_model_uncertainty_cover_it(pull, families, level):
    given = copy.deepcopy(good())
    with_test("unfolded", 0.59)(given)
    given.content["families"] = families
    for observable in given.content["observables"].values():
        observable["coverage"]["pulls"] = [pull, -pull] * 5
    assert says("classifier against the truth", given) == level


def test_a_nominal_far_from_the_truth_fails_where_nothing_says_that_bands_cover_it():
    given = copy.deepcopy(good())
    with_test("unfolded", 0.59)(given)
    for observable in given.content["observables"].values():
        observable["coverage"] = None
    assert says("classifier against the truth", given) == 2


def test_a_method_with_bins_of_its_own_is_not_held_against_finer_ones():
    given = copy.deepcopy(good())
    CASES["distance to the truth"][1](given)
    given.content["observables"]["m"]["binned"] = True
    assert says("distance to the truth", given) == 0


def test_the_worst_of_several_sets_of_weights_decides():
    given = copy.deepcopy(good())
    one = {k: v for k, v in given.content["weights"].items() if k != "per_observable"}
    given.content["weights"]["per_observable"] = {"m": one, "w": one | {"effective_sample_size": 50.0}}
    found = judge(given)
    assert found["verdict"] == "failed"
    assert found["reasons"] == ["weights of w: 10000 events have an effective size of 50 events"]
