"""Particles of objects: real files against plain code, each form of a link, and clustered jets."""

import awkward as ak
import numpy as np
import pytest
import uproot

from tests.events.formats import FIELDS
from tests.events.reading import preset_reader, read
from truthward.errors import InputError
from truthward.events.contract import Batch
from truthward.events.readers.objects.constituents import linked
from truthward.events.readers.objects.method import Objects
from truthward.study.objects import Constituents, Link


def test_real_delphes_with_constituents(shared_data):
    levels, names = ("truth", "reco"), ("pt", "eta", "phi", "pid")
    branches = {f"{level}_pt": "jets.pt" for level in levels}
    branches |= {f"{lv}_constituents_{q}": f"jets.constituents.{q}" for lv in levels for q in names}
    found = read(preset_reader("delphes", shared_data / "delphes.root", "jets", branches), rows=10)
    tree = uproot.open(shared_data / "delphes.root")["Delphes"]
    plain = {"truth": tree["GenJet/GenJet.PT"].array(), "reco": tree["Jet/Jet.PT"].array()}
    for level in levels:
        passed = found[f"pass_{level}"]
        assert passed.sum() == ak.count(plain[level])
        assert ak.sum(found[f"{level}_pt"][passed]) == pytest.approx(ak.sum(plain[level]), rel=1e-6)
        # The vector sum of the constituents is the jet, but for Delphes' energy scale.
        pt, phi = (found[f"{level}_constituents_{q}"][passed] for q in ("pt", "phi"))
        summed = np.hypot(ak.sum(pt * np.cos(phi), axis=1), ak.sum(pt * np.sin(phi), axis=1))
        assert np.median(summed / found[f"{level}_pt"][passed]) == pytest.approx(1.0, abs=0.01)
    assert (found["pass_truth"] & found["pass_reco"]).sum() == 71


def test_real_nanoaod_with_constituents(shared_data):
    names = ("pt", "eta", "phi", "pid")
    branches = {f"reco_constituents_{q}": f"fat_jets.constituents.{q}" for q in names}
    branches |= {"reco_pt": "fat_jets.pt", "truth_pt": "fat_jets.pt"}
    found = read(preset_reader("nanoaod", shared_data / "nano_tt_v15.root", "fat_jets", branches), rows=50)
    events = uproot.open(shared_data / "nano_tt_v15.root")["Events"].arrays(
        ["FatJet_pt", "FatJetPFCand_jetIdx", "FatJetPFCand_pfCandIdx", "PFCand_pt"]
    )
    expected = []
    for event in events:
        candidates = event["PFCand_pt"][event["FatJetPFCand_pfCandIdx"]]
        expected += [candidates[event["FatJetPFCand_jetIdx"] == jet].tolist() for jet in range(len(event["FatJet_pt"]))]
    passed = found["pass_reco"]
    got = found["reco_constituents_pt"][passed].tolist()
    assert sorted(got) == sorted(expected)
    assert sum(map(len, got)) == 2374


@pytest.fixture
def particles(tmp_path):
    """Events with particles, and jets that hold them by a range; the particles of a jet are not neighbours."""
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 12, 40)
    counts[:5] = 0
    jets = [np.sort(rng.integers(0, 3, n)) for n in counts]
    order = [rng.permutation(n) for n in counts]
    sizes = [[int((j == k).sum()) for k in range(3)] for j in jets]
    columns = {q: ak.unflatten(rng.uniform(0.1, 1, counts.sum()), counts) for q in FIELDS}
    columns |= {
        "begin": ak.Array([np.cumsum([0, *s[:-1]]).tolist() for s in sizes]),
        "end": ak.Array([np.cumsum(s).tolist() for s in sizes]),
        "item": ak.unflatten(np.concatenate(order), counts),
        "owner": ak.unflatten(np.concatenate(jets), counts),
        "jet_pt": ak.Array([[3.0, 2.0, 1.0]] * 40),
    }
    with uproot.recreate(tmp_path / "t.root") as file:
        types = {n: "var * int64" if n in ("begin", "end", "item", "owner") else "var * float64" for n in columns}
        file.mktree("t", types).extend(columns)
    expected = []
    for event in range(40):
        for k in range(3):
            mine = order[event][jets[event] == k]
            expected.append(columns["pt"][event][mine].tolist())
    return str(tmp_path / "t.root"), expected


@pytest.mark.parametrize("link", [{"begin": "begin", "end": "end", "item": "item"}, {"owner": "owner", "item": "item"}])
@pytest.mark.parametrize("rows", [1000, 7])
def test_links_of_constituents(particles, link, rows):
    path, expected = particles
    jets = {"reco": {"pt": "jet_pt", "constituents": {"pt": "pt", "link": link}}, "order": None}
    reader = Objects(
        files=[path], collections={"jets": jets}, rows="jets", branches={"reco_constituents_pt": "jets.constituents.pt"}
    )
    assert read(reader, ("reco",), rows)["reco_constituents_pt"].tolist() == expected


def test_items_are_numbers_or_element_links():
    items = ak.Array([[[2, 0], [-1]], [[], [1]], [[], []]])
    pt = ak.Array([[5.0, 6.0, 7.0], [8.0, 9.0], []])
    found = linked(
        (Constituents(fields={"pt": "x"}, link=Link(items="i")),),
        "pt",
        Batch({"x": pt, "i": items}, source="t.root"),
        None,
    )
    assert found.to_list() == [[[7, 5], []], [[], [9]], [[], []]]
    for keys, message in (([[7, 0], [0]], None), ([[7, 9], [0]], "the links lead to 2 containers")):
        links = ak.zip({"m_persKey": ak.Array([keys]), "m_persIndex": ak.Array([[[2, 0], [0]]])})
        arrays = Batch({"x": pt[:1], "i": links}, source="t.root")
        if message:
            with pytest.raises(InputError, match=message):
                linked((Constituents(fields={"pt": "x"}, link=Link(items="i")),), "pt", arrays, None)
        else:
            found = linked((Constituents(fields={"pt": "x"}, link=Link(items="i")),), "pt", arrays, None)
            assert found.to_list() == [[[7], []]]


def test_a_link_beyond_its_list_is_refused(particles):
    path, _ = particles
    jets = {"reco": {"pt": "jet_pt", "constituents": {"pt": "pt", "link": {"owner": "owner + 2", "item": "item"}}}}
    reader = Objects(
        files=[path], collections={"jets": jets}, rows="jets", branches={"reco_constituents_pt": "jets.constituents.pt"}
    )
    with pytest.raises(InputError, match=r"link.owner of constituents is negative or beyond the end"):
        read(reader, ("reco",))


def test_clustered_jets_are_those_of_fastjet(particles):
    import fastjet

    path, _ = particles
    how = {"of": "particles", "radius": 0.3, "pt_min": 0.5}
    collections = {
        "particles": {"truth": {q: q for q in FIELDS}},
        "jets": {"truth": {"cluster": how}},
    }
    branches = {"truth_pt": "jets.pt", "truth_constituents_pt": "jets.constituents.pt"}
    found = read(Objects(files=[path], collections=collections, rows="jets", branches=branches), ("truth",), rows=6)
    tree = uproot.open(path)["t"].arrays(FIELDS)
    count, total = 0, 0.0
    for event in tree:
        inputs = []
        for pt, eta, phi, mass in zip(*(event[q] for q in FIELDS), strict=True):
            pz = pt * np.sinh(eta)
            inputs.append(fastjet.PseudoJet(pt * np.cos(phi), pt * np.sin(phi), pz, np.sqrt(pt**2 + pz**2 + mass**2)))
        sequence = fastjet.ClusterSequence(inputs, fastjet.JetDefinition(fastjet.antikt_algorithm, 0.3))
        jets = sequence.inclusive_jets(0.5)
        count, total = count + len(jets), total + sum(jet.pt() for jet in jets)
    assert found["pass_truth"].sum() == len(found["truth_pt"]) == count > 20
    assert ak.sum(found["truth_pt"]) == pytest.approx(total)
    assert ak.all(ak.sum(found["truth_constituents_pt"], axis=1) >= found["truth_pt"] - 1e-9)
