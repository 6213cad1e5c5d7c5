"""Truth and reco in separate trees, friends, and variations as trees, against a join by pandas."""

import awkward as ak
import numpy as np
import pandas as pd
import pytest
import uproot

from tests.events.reading import read
from truthward.errors import ConfigError, InputError
from truthward.events.readers.flat_tree import FlatTree
from truthward.events.readers.objects.method import Objects

WEIGHT = "either(w, particle.w, 0)"
MAP = {"truth_m": "particle.m", "reco_m": "m", "event": "eventNumber", "weight": WEIGHT}
JOIN = {"particle": {"tree": "particleLevel", "by": "eventNumber"}}


@pytest.fixture
def trees(tmp_path):
    """Two trees of one file in other orders: 5,000 events at truth level, of which reco has some and others too."""
    rng = np.random.default_rng(3)
    number = rng.permutation(2**40 + np.arange(8000))
    m = rng.exponential(30.0, 8000)
    truth, reco, up = number[:5000], rng.permutation(number[1500:7000]), rng.permutation(number[1000:6500])
    value = dict(zip(number, m, strict=True))
    columns = {
        "particleLevel": {"eventNumber": truth, "m": np.array([value[n] for n in truth]), "w": truth % 7 + 1.0},
        "reco": {"eventNumber": reco, "m": np.array([1.1 * value[n] for n in reco]), "w": reco % 7 + 1.0},
        "up": {"eventNumber": up, "m": np.array([1.2 * value[n] for n in up])},
        "friend": {"extra": 2.0 * np.arange(len(reco))},
    }
    with uproot.recreate(tmp_path / "t.root") as file:
        for name, tree in columns.items():
            file.mktree(name, {k: v.dtype for k, v in tree.items()}).extend(tree)
    return tmp_path / "t.root", {name: pd.DataFrame(tree) for name, tree in columns.items()}


def test_gaps_are_misses_and_fakes(trees):
    path, frames = trees
    found = read(FlatTree(files=[str(path)], tree="reco", join=JOIN, branches=MAP))
    both = frames["reco"].merge(frames["particleLevel"], on="eventNumber", how="outer", suffixes=("", "_truth"))
    assert len(found["event_id"]) == len(both) == 7000
    assert len(np.unique(found["event_id"])) == 7000
    assert found["pass_truth"].sum() == 5000
    assert found["pass_reco"].sum() == 5500
    assert found["weight"].sum() == both["w"].fillna(both["w_truth"]).sum()
    pairs = found["pass_truth"] & found["pass_reco"]
    assert pairs.sum() == 3500
    np.testing.assert_allclose(found["reco_m"][pairs], 1.1 * found["truth_m"][pairs])
    other = read(FlatTree(files=[str(path)], tree="reco", join=JOIN, branches=MAP), rows=333)
    order = np.argsort(found["event_id"]), np.argsort(other["event_id"])
    for name in found:
        np.testing.assert_array_equal(found[name][order[0]], other[name][order[1]])


def test_a_friend_is_joined_entry_by_entry(trees):
    path, frames = trees
    join = {"more": {"tree": "friend"}}
    found = read(
        FlatTree(files=[str(path)], tree="reco", join=join, branches={"reco_x": "more.extra"}), levels=("reco",)
    )
    np.testing.assert_array_equal(found["reco_x"], frames["friend"]["extra"])
    short = {"more": {"tree": "particleLevel"}}
    with pytest.raises(InputError, match=r"join.more: its tree has 5000 entries, the main tree has 5500.*give `by`"):
        read(FlatTree(files=[str(path)], tree="reco", join=short, branches={"reco_x": "more.m"}), levels=("reco",))


def test_a_variation_is_a_tree(trees):
    path, frames = trees
    join = JOIN | {"jes_up": {"tree": "up", "by": "eventNumber"}}
    found = read(FlatTree(files=[str(path)], tree="reco", join=join, branches=MAP | {"reco_m:jes:0": "jes_up.m"}))
    assert found["pass_reco:jes:0"].sum() == len(frames["up"])
    both = found["pass_reco"] & found["pass_reco:jes:0"]
    assert both.sum() == len(frames["reco"].merge(frames["up"], on="eventNumber"))
    np.testing.assert_allclose(found["reco_m:jes:0"][both], 1.2 / 1.1 * found["reco_m"][both])
    mapped = MAP | {"pass_reco": "m > 20", "reco_m:jes:0": "jes_up.m"}
    with pytest.raises(InputError, match=r"its acceptance is not mapped; map pass_reco:jes:0, as pass_reco is mapped"):
        read(FlatTree(files=[str(path)], tree="reco", join=join, branches=mapped))
    found = read(
        FlatTree(files=[str(path)], tree="reco", join=join, branches=mapped | {"pass_reco:jes:0": "jes_up.m > 20"})
    )
    assert found["pass_reco"].sum() == (frames["reco"]["m"] > 20).sum()
    assert found["pass_reco:jes:0"].sum() == (frames["up"]["m"] > 20).sum()


def test_a_variation_is_a_file(trees, tmp_path):
    path, frames = trees
    with uproot.recreate(tmp_path / "up.root") as file:
        up = {name: np.asarray(values) for name, values in frames["up"].items()}
        file.mktree("reco", {k: v.dtype for k, v in up.items()}).extend(up)
    join = JOIN | {"jes_up": {"files": [str(tmp_path / "up.root")], "by": "eventNumber"}}
    reader = FlatTree(files=[str(path)], tree="reco", join=join, branches=MAP | {"reco_m:jes:0": "jes_up.m"})
    assert read(reader)["pass_reco:jes:0"].sum() == len(frames["up"])
    assert {file.name for file in reader.sources} == {"t.root", "up.root"}


def test_objects_of_two_trees(tmp_path):
    rng = np.random.default_rng(5)
    numbers = {"truth": np.arange(100, 160), "reco": rng.permutation(np.arange(120, 200))}
    with uproot.recreate(tmp_path / "t.root") as file:
        for name, number in numbers.items():
            counts = number % 4
            jets = {q: ak.unflatten(rng.uniform(0.5, 1.0, counts.sum()), counts) for q in ("eta", "phi", "mass")}
            jets["pt"] = ak.unflatten(np.repeat(number, counts) + 0.5, counts)
            made = file.mktree(name, {"number": np.int64, **dict.fromkeys(jets, "var * float64")})
            made.extend({"number": number, **jets})
    fields = {
        n: {q: f"{p}{q}" for q in ("pt", "eta", "phi", "mass")} for n, p in (("truth", "particle."), ("reco", ""))
    }
    options = {
        "files": [str(tmp_path / "t.root")],
        "tree": "reco",
        "join": {"particle": {"tree": "truth", "by": "number"}},
        "collections": {"jets": {**fields, "match": {"delta_r": 1.0}}},
    }
    found = read(
        Objects(**options, rows="jets", branches={"truth_pt": "jets.pt", "reco_pt": "jets.pt", "event": "number"})
    )
    assert found["pass_truth"].sum() == (numbers["truth"] % 4).sum()
    assert found["pass_reco"].sum() == (numbers["reco"] % 4).sum()
    pairs = found["pass_truth"] & found["pass_reco"]
    # All jets of an event are within the radius, so each has a partner where both trees have the event.
    assert pairs.sum() == (np.arange(120, 160) % 4).sum()
    np.testing.assert_array_equal(found["truth_pt"][pairs], found["reco_pt"][pairs])
    events = read(
        Objects(**options, branches={"truth_n": "count(jets.pt)", "reco_n": "count(jets.pt)", "event": "number"})
    )
    assert (events["pass_truth"].sum(), events["pass_reco"].sum(), len(events["event_id"])) == (60, 80, 100)
    assert events["truth_n"][events["pass_truth"]].sum() == found["pass_truth"].sum()


@pytest.mark.parametrize(
    ("join", "message"),
    [
        ({"particle": {"by": {"main": "a"}}}, r"join.particle.by: .*write \{main: ..., joined: ...\}"),
        ({"particle": {"key": "a"}}, r"join.particle.key: .*valid: tree, files, by"),
        ({"particle": {"by": ["a +"]}}, r"join.particle.by.main: expression 'a \+'"),
        ({"a b": {}}, r"join.a b: not a valid name"),
        ({"particle": {"by": {"main": ["a", "b"], "joined": ["a"]}}}, r"as many expressions"),
    ],
)
def test_mistakes_of_a_join(join, message):
    with pytest.raises(ConfigError, match=message):
        FlatTree(files=["none.root"], join=join, branches=MAP)


def test_repeated_numbers_are_refused(trees):
    path, _ = trees
    join = {"particle": {"tree": "particleLevel", "by": {"main": "floor(m)", "joined": "floor(m)"}}}
    with pytest.raises(InputError, match=r"entries have the floor\(m\) of another entry.*give more branches in `by`"):
        read(FlatTree(files=[str(path)], tree="reco", join=join, branches=MAP))
