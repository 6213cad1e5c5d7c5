"""Presets: each collection against loops over events of plain branches, of real files and of stand-ins."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import yaml

from tests.events import formats
from tests.events.formats import FIELDS
from tests.events.loops import CASES, DATA, loop
from tests.events.reading import preset_reader, read
from truthward.ingest.inspection import formats as recognised
from truthward.study import checks
from truthward.study.plugins import build
from truthward.study.presets import names, preset

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "howto" / "formats.md").read_text(encoding="utf-8")
ALONE = {"particles", "photons"}
"""Collections that may have one level only."""


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("formats")
    return {name: make(folder / f"{name}.root") for name, make in formats.MADE.items()}


def both(rows: str, fields: Sequence[str] = FIELDS, levels: Sequence[str] = ("truth", "reco")) -> dict[str, str]:
    return {f"{level}_{q.replace('.', '_')}": f"{rows}.{q}" for level in levels for q in fields}


@pytest.mark.parametrize(("name", "rows"), [(name, rows) for name, cases in CASES.items() for rows in cases])
def test_collections_are_those_of_a_loop(name, rows, request):
    file, tree, weight = DATA[name]
    path = request.getfixturevalue("shared_data") / file if file else request.getfixturevalue("stand_ins")[name]
    found = read(preset_reader(name.split()[0], path, rows, both(rows)), rows=37)
    expected = loop(path, tree, weight, *CASES[name][rows])
    assert expected
    passed = {level: np.asarray(found[f"pass_{level}"]) for level in ("truth", "reco")}
    np.testing.assert_array_equal(passed["truth"], [row[0] for row in expected])
    np.testing.assert_array_equal(passed["reco"], [row[1] for row in expected])
    np.testing.assert_allclose(np.asarray(found["weight"]), [row[2] for row in expected], rtol=1e-6)
    for place, (level, field) in enumerate((level, field) for level in passed for field in FIELDS):
        values = np.where(passed[level], np.asarray(found[f"{level}_{field}"]), 0)
        np.testing.assert_allclose(values, [row[3 + place] for row in expected], rtol=2e-4, atol=2e-3)
    assert len(set(found["event_id"].tolist())) == len(expected)
    if file:
        t, r = passed["truth"], passed["reco"]
        assert said(file)[rows] == ((t & r).sum(), (t & ~r).sum(), (r & ~t).sum())


def said(file: str) -> dict[str, tuple[int, ...]]:
    """Pairs, misses and fakes of each collection of a file, as the page has them."""
    table = PAGE.partition(f"| `{file}` |")[2].partition("\n\n")[0]
    return {
        row[1]: tuple(map(int, row.groups()[1:]))
        for row in re.finditer(r"\| (\w+) \| (\d+) \| (\d+) \| (\d+) \|", table)
    }


def test_no_collection_of_a_preset_is_left_out():
    for name in names():
        matched = {rows for rows, each in preset(name)["collections"].items() if "truth" in each and "reco" in each}
        tested = (
            set(CASES[name])
            | set(CASES.get(f"{name} 2015", ()))
            | ({"jets", "file_jets", "particles"} if name == "edm4hep" else set())
        )
        assert matched == tested, name
        alone = set(preset(name)["collections"]) - matched
        assert alone <= ALONE


@pytest.mark.parametrize(
    ("name", "rows", "level", "branch"),
    [
        ("pfnano", "particles", "truth", "GenPart_pt"),
        ("scouting", "particles", "truth", "GenPart_pt"),
        ("treemaker", "particles", "truth", "GenParticles.fCoordinates.fPt"),
        ("treemaker", "photons", "reco", "Photons.fCoordinates.fPt"),
    ],
)
def test_collections_of_one_level(stand_ins, name, rows, level, branch):
    found = read(preset_reader(name, stand_ins[name], rows, both(rows, levels=[level])), rows=37)
    expected = [pt for event in formats.events(stand_ins[name], DATA[name][1], [branch]) for pt in event[branch]]
    np.testing.assert_allclose(np.asarray(found[f"{level}_pt"]), expected, rtol=1e-6)


def per_jet(owners: list[int], items: list[int], values: list[float], jets: int) -> list[list[float]]:
    found: list[list[float]] = [[] for _ in range(jets)]
    for owner, item in zip(owners, items, strict=True):
        found[owner].append(values[item])
    return found


@pytest.mark.parametrize(
    ("rows", "level", "jets", "cands", "link"),
    [
        ("jets", "truth", "GenJet", "GenCands", "GenJetCands"),
        ("jets", "reco", "Jet", "PFCands", "JetPFCands"),
        ("fat_jets", "truth", "GenJetAK8", "GenCands", "GenFatJetCands"),
        ("fat_jets", "reco", "FatJet", "PFCands", "FatJetPFCands"),
    ],
)
def test_pfnano_has_constituents_at_both_levels(stand_ins, rows, level, jets, cands, link):
    for field, branch in (("pt", f"{cands}_pt"), ("pid", f"{cands}_pdgId")):
        columns = both(rows, ["pt", "eta"]) | {f"{level}_constituents_{field}": f"{rows}.constituents.{field}"}
        found = read(preset_reader("pfnano", stand_ins["pfnano"], rows, columns), rows=37)
        passed = np.asarray(found[f"pass_{level}"])
        names = [f"{jets}_pt", branch, f"{link}_jetIdx", f"{link}_pFCandsIdx"]
        expected = {}
        for event in formats.events(stand_ins["pfnano"], "Events", names):
            lists = per_jet(event[names[2]], event[names[3]], event[branch], len(event[names[0]]))
            expected |= {round(pt, 4): each for pt, each in zip(event[names[0]], lists, strict=True)}
        assert len(expected) == passed.sum()
        got = zip(
            found[f"{level}_pt"][passed].tolist(), found[f"{level}_constituents_{field}"][passed].tolist(), strict=True
        )
        assert {round(pt, 4): each for pt, each in got} == expected


def test_softdrop_mass_is_a_field_of_the_pattern(stand_ins):
    for name, text in (("pfnano", "fat_jets.msoftdrop"), ("treemaker", "fat_jets.softDropMass")):
        found = read(
            preset_reader(name, stand_ins[name], "fat_jets", {"reco_m": text, "reco_pt": "fat_jets.pt"}),
            ("reco",),
        )
        branch = {"pfnano": "FatJet_msoftdrop", "treemaker": "JetsAK8_softDropMass"}[name]
        expected = [m for event in formats.events(stand_ins[name], DATA[name][1], [branch]) for m in event[branch]]
        np.testing.assert_allclose(np.sort(found["reco_m"][found["pass_reco"]]), np.sort(expected), rtol=1e-6)


def test_data_of_nanoaod_have_no_truth_and_no_weight(tmp_path):
    path = formats.nanoaod_data(tmp_path / "data.root")
    made = preset_reader("nanoaod", path, "jets", {"reco_pt": "jets.pt"}, truth=False)
    assert made.truth() == []
    found = read(made, ("reco",), rows=17)
    expected = [pt for event in formats.events(path, "Events", ["Jet_pt"]) for pt in event["Jet_pt"]]
    np.testing.assert_allclose(np.asarray(found["reco_pt"]), expected, rtol=1e-6)
    assert set(found["weight"].tolist()) == {1.0}
    assert all(found["pass_reco"])


def clustered(inputs: list[list[float]], radius: float, least: float) -> list[tuple[list[float], list[int]]]:
    """Anti-kt jets, 0802.1189, by the definition: the pair with the smallest distance is merged until none is left."""
    left = [(list(p), [i]) for i, p in enumerate(inputs)]
    jets = []

    def place(p: list[float]) -> tuple[float, float, float]:
        return (
            p[0] ** 2 + p[1] ** 2,
            0.5 * math.log((p[3] + p[2]) / (p[3] - p[2])),
            math.atan2(p[1], p[0]),
        )

    while left:
        at = [place(p) for p, _ in left]
        best = min((1 / at[i][0], i, -1) for i in range(len(left)))
        for i in range(len(left)):
            for j in range(i):
                turn = abs(at[i][2] - at[j][2])
                square = (at[i][1] - at[j][1]) ** 2 + min(turn, 2 * math.pi - turn) ** 2
                best = min(best, (min(1 / at[i][0], 1 / at[j][0]) * square / radius**2, i, j))
        _, i, j = best
        if j < 0:
            jets.append(left.pop(i))
        else:
            (a, of_a), (b, of_b) = left[i], left[j]
            left = [each for n, each in enumerate(left) if n not in (i, j)]
            left.append(([x + y for x, y in zip(a, b, strict=True)], of_a + of_b))
    return [(p, of) for p, of in jets if math.hypot(p[0], p[1]) >= least]


@pytest.mark.parametrize("level", ["truth", "reco"])
def test_jets_of_edm4hep_are_clustered_at_both_levels(stand_ins, level):
    columns = both("jets", ["pt", "mass", "constituents.pt"], [level])
    found = read(preset_reader("edm4hep", stand_ins["edm4hep"], "jets", columns), rows=23)
    name = {"truth": "Particle", "reco": "ReconstructedParticles"}[level]
    axes = [f"{name}.momentum.{a}" for a in "xyz"]
    more = ["Particle.PDG", "Particle.generatorStatus"]
    expected = []
    for event in formats.events(stand_ins["edm4hep"], "events", [*axes, f"{name}.mass", *more]):
        inputs = []
        for i, mass in enumerate(event[f"{name}.mass"]):
            if level == "reco" or (event[more[1]][i] == 1 and event[more[0]][i] not in (12, 14, 16)):
                p = [event[a][i] for a in axes]
                inputs.append([*p, math.sqrt(mass**2 + sum(x * x for x in p))])
        for p, of in clustered(inputs, 0.4, 5):
            mass = math.sqrt(max(p[3] ** 2 - p[0] ** 2 - p[1] ** 2 - p[2] ** 2, 0))
            pts = sorted(math.hypot(*inputs[i][:2]) for i in of)
            expected.append((math.hypot(p[0], p[1]), mass, *pts))
    passed = np.asarray(found[f"pass_{level}"])
    got = [
        (pt, mass, *sorted(inside))
        for pt, mass, inside in zip(
            *(found[f"{level}_{q}"][passed].tolist() for q in ("pt", "mass", "constituents_pt")), strict=True
        )
    ]
    assert len(got) == len(expected) > 100
    for mine, other in zip(sorted(got), sorted(expected), strict=True):
        assert mine == pytest.approx(other, rel=1e-4, abs=1e-3)


def test_jets_of_an_edm4hep_file_have_their_particles(stand_ins):
    columns = both("file_jets", ["pt", "constituents.pt"], ["reco"])
    found = read(preset_reader("edm4hep", stand_ins["edm4hep"], "file_jets", columns), ("reco",), rows=23)
    branches = ["Jet.particles_begin", "Jet.particles_end", "Jet#2.index", "Jet.momentum.x", "Jet.momentum.y"]
    branches += ["ReconstructedParticles.momentum.x", "ReconstructedParticles.momentum.y"]
    expected = []
    for begin, end, item, jx, jy, x, y in (
        event.values() for event in formats.events(stand_ins["edm4hep"], "events", branches)
    ):
        for i in range(len(begin)):
            inside = [math.hypot(x[n], y[n]) for n in item[begin[i] : end[i]]]
            expected.append((math.hypot(jx[i], jy[i]), *inside))
    passed = found["pass_reco"]
    got = zip(found["reco_pt"][passed].tolist(), found["reco_constituents_pt"][passed].tolist(), strict=True)
    for mine, other in zip(sorted((pt, *inside) for pt, inside in got), sorted(expected), strict=True):
        assert mine == pytest.approx(other, rel=1e-5)


def test_particles_of_edm4hep_are_matched(stand_ins):
    found = read(preset_reader("edm4hep", stand_ins["edm4hep"], "jets", both("jets", ["pt", "eta"])))
    pairs = np.asarray(found["pass_truth"] & found["pass_reco"])
    assert 50 < pairs.sum() < len(pairs)


def test_tracks_of_physlite_are_those_that_the_file_keeps(shared_data):
    path = shared_data / DATA["physlite"][0]
    columns = both("jets", ["pt", "constituents.pt", "constituents.eta"], ["reco"])
    found = read(preset_reader("physlite", path, "jets", columns), ("reco",), rows=17)
    track = "InDetTrackParticlesAuxDyn."
    branches = ["AnalysisJetsAuxDyn.GhostTrack", f"{track}theta", f"{track}qOverP", "AnalysisJetsAuxDyn.pt"]
    expected, all_links, count = [], 0, 0
    for links, theta, ratio, pts in (event.values() for event in formats.events(path, "CollectionTree", branches)):
        for jet, pt in zip(links, pts, strict=True):
            all_links += len(jet)
            kept = [link["m_persIndex"] for link in jet if link["m_persKey"]]
            count += len(kept)
            momenta = [math.sin(theta[i]) / abs(ratio[i]) / 1000 for i in kept]
            expected.append((pt / 1000, *momenta, *(-math.log(math.tan(theta[i] / 2)) for i in kept)))
    passed = found["pass_reco"]
    columns = (found[f"reco_{q}"][passed].tolist() for q in ("pt", "constituents_pt", "constituents_eta"))
    got = [(pt, *pts, *etas) for pt, pts, etas in zip(*columns, strict=True)]
    for mine, other in zip(sorted(got), sorted(expected), strict=True):
        assert mine == pytest.approx(other, rel=1e-4, abs=1e-4)
    assert f"{count:,} of {all_links:,} links" in PAGE


def test_large_jets_of_delphes_have_constituents_and_taus(shared_data):
    path = shared_data / "delphes.root"
    columns = both("fat_jets", ["pt", "phi", "constituents.pt", "constituents.phi"])
    columns |= {f"{level}_tau21": "fat_jets.tau[1] / fat_jets.tau[0]" for level in ("truth", "reco")}
    found = read(preset_reader("delphes", path, "fat_jets", columns), rows=10)
    for level, name in (("truth", "GenJet08"), ("reco", "ParticleFlowJet08")):
        passed = np.asarray(found[f"pass_{level}"])
        events = list(formats.events(path, "Delphes", [f"{name}.Tau[5]", f"{name}.PT"]))
        ratios = {round(pt, 3): tau[1] / tau[0] for e in events for tau, pt in zip(*e.values(), strict=True) if tau[0]}
        mine = zip(found[f"{level}_pt"][passed].tolist(), found[f"{level}_tau21"][passed].tolist(), strict=True)
        assert {round(pt, 3): value for pt, value in mine if value == value} == pytest.approx(ratios, rel=1e-5)
        pt, phi = (found[f"{level}_constituents_{q}"][passed] for q in ("pt", "phi"))
        summed = np.hypot(ak.sum(pt * np.cos(phi), axis=1), ak.sum(pt * np.sin(phi), axis=1))
        assert np.median(np.abs(summed / found[f"{level}_pt"][passed] - 1)) < 0.01


def test_a_preset_of_data_reads_events_with_the_missing_momentum(stand_ins, shared_data):
    found = read(
        preset_reader(
            "treemaker",
            stand_ins["treemaker"],
            "events",
            {"truth_met": "GenMET", "reco_met": "MET", "reco_n": "count(jets.pt)"},
        )
    )
    expected = list(formats.events(stand_ins["treemaker"], "TreeMaker2/PreSelection", ["MET", "Jets.fCoordinates.fPt"]))
    np.testing.assert_allclose(np.asarray(found["reco_met"]), [event["MET"] for event in expected])
    np.testing.assert_array_equal(
        np.asarray(found["reco_n"]), [len(event["Jets.fCoordinates.fPt"]) for event in expected]
    )


@pytest.mark.parametrize("name", sorted(formats.MADE))
def test_a_stand_in_is_recognised(stand_ins, name):
    import uproot

    with uproot.open(stand_ins[name]) as file:
        assert recognised(file[DATA[name][1]].keys(recursive=True, full_paths=False))[0] == name


@pytest.mark.parametrize("name", names())
def test_every_preset_has_a_study_and_a_section(name):
    rows = next(iter(preset(name)["collections"]))
    sample = {"preset": name, "files": ["x.root"], "rows": "events"}
    content = {
        "study": "minimal",
        "samples": {
            "simulation": {
                "role": "simulation",
                "read": {**sample, "branches": {"truth_n": f"count({rows}.pt)", "reco_n": f"count({rows}.pt)"}},
            },
            "data": {"role": "data", "read": {**sample, "branches": {"reco_n": f"count({rows}.pt)"}}},
        },
        "observables": {"n": {"label": "n", "range": [0, 10], "bins": 10, "integer": True}},
        "unfold": {"methods": {"ibu": {"kind": "ibu"}}, "replicas": {"data_bootstrap": 30, "mc_bootstrap": 30}},
        "publish": {"method": "ibu", "licence": "CC-BY-4.0", "fiducial": "all"},
    }
    parsed = checks.parse(content, name)
    assert parsed.samples["simulation"].read["kind"] == "objects"
    assert ("weight" in parsed.samples["simulation"].read["branches"]) == (name != "edm4hep")
    assert "weight" not in parsed.samples["data"].read["branches"]
    path = ROOT / "workflow" / "studies" / f"{name}.yaml"
    study = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {sample["read"]["preset"] for sample in study["samples"].values()} == {name}
    assert f"`{name}`" in PAGE.partition("## ")[2]
    assert f"{{ #{name} }}" in PAGE
    assert f"{{ #{name} }}" in (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", names())
def test_the_study_of_a_preset_reads_a_file_of_its_format(name, request):
    file = DATA[name][0]
    path = request.getfixturevalue("shared_data") / file if file else request.getfixturevalue("stand_ins")[name]
    study = checks.load(ROOT / "workflow" / "studies" / f"{name}.yaml")
    for sample, levels in (("simulation", ("truth", "reco")), ("data", ("reco",))):
        found = read(build("events.readers", {**study.samples[sample].read, "files": [str(path)]}), levels)
        assert len(found["event_id"]) > 0
        for observable in study.observables:
            for level in levels:
                values = np.asarray(found[f"{level}_{observable}"][found[f"pass_{level}"]])
                assert np.isfinite(values).all(), (sample, level, observable)
