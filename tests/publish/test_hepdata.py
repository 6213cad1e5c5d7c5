"""The tables for HEPData say what the events say, in the form that HEPData takes."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from truthward.events.unfolded import Unfolded, family, weight_columns, write_unfolded
from truthward.publish.hepdata import FOLDER, label, write_tables
from truthward.run.provenance import Record
from truthward.study.observable import Observable

FAMILIES = {
    "data_bootstrap": family("data_bootstrap", 18),
    "mc_bootstrap": family("mc_bootstrap", 15),
    "initialisation": family("initialisation", 2),
    "systematic:scale": family("systematic:scale", 1),
    "combined": family("combined", 18),
}
"""The last is a check of the sum, and no part of what is published."""

PUBLISHED = {
    "m": (0.0, 10.0, 20.0, 28.0, 60.0),
    "M": (-0.5, 9.5, 13.5, 15.5, 18.5, 40.5),
    "zg": (0.0, 0.02, 0.2, 0.3, 0.5),
}
DECLARED = {
    "m": Observable(name="m", label="jet mass $m$", unit="GeV", range=(0.0, 60.0), bins=30, published=PUBLISHED["m"]),
    "M": Observable(
        name="M", label="multiplicity", range=(-0.5, 40.5), bins=41, integer=True, published=PUBLISHED["M"]
    ),
    "zg": Observable(name="zg", label="$z_g$", range=(0.0, 0.5), bins=25, atoms=(0.0,), published=PUBLISHED["zg"]),
}
INNER = {"m": [6.0, 20.0, 28.0], "M": [9.5, 13.5, 14.5, 15.5, 18.5], "zg": [0.02, 0.2, 0.3]}
"""Bins of a binned method, as its metadata state them."""
WORDS = {"study": "zjets", "licence": "CC-BY-4.0", "fiducial": "pT > 200 GeV"}


def sample(path, *, joint: bool = True) -> Unfolded:
    """Three observables; zg is zero in a tenth of the events. Nothing depends on the initialisation of `ibu`."""
    random, n = np.random.default_rng(1), 2000
    zg = np.where(random.random(n) < 0.1, 0.0, random.uniform(0.1, 0.5, n))
    columns = {"truth_m": random.gamma(4, 5, n), "truth_M": random.poisson(15, n), "truth_zg": zg}
    columns["event_id"] = np.arange(n)
    for observable in [None] if joint else DECLARED:
        for name in weight_columns(FAMILIES, observable):
            still = not joint and "initialisation" in name
            columns[name] = np.full(n, 1.5) if still or name.startswith("weight") else 1.5 * random.poisson(1, n)
    options = {"method": "omnifold" if joint else "ibu", "kind": "any", "history": [], "record": Record.for_tests()}
    options["extra"] = {} if joint else {"inner_edges": INNER}
    write_unfolded(path, [columns], observables=list(DECLARED), joint=joint, families=FAMILIES, **options)
    return Unfolded(path)


@pytest.fixture(scope="module", params=["joint", "each", "luminosity"])
def written(request, tmp_path_factory):
    """The sample, the luminosity, and the tables by file name as read back."""
    folder = tmp_path_factory.mktemp(request.param)
    luminosity = 2.5 if request.param == "luminosity" else None
    unfolded = sample(folder / "u.parquet", joint=request.param != "each")
    names = write_tables(folder, unfolded, DECLARED, luminosity=luminosity, model=["systematic:scale"], **WORDS)
    assert sorted(f"{FOLDER}/{p.name}" for p in (folder / FOLDER).iterdir()) == sorted(names)
    tables = {name.split("/")[1]: list(yaml.safe_load_all((folder / name).read_text())) for name in names}
    return unfolded, luminosity, tables


def edges_of(table: dict) -> np.ndarray:
    rows = table["independent_variables"][0]["values"]
    assert [r["high"] for r in rows[:-1]] == [r["low"] for r in rows[1:]], "bins without gaps"
    return np.array([r["low"] for r in rows] + [rows[-1]["high"]])


def matrix(column: dict) -> np.ndarray:
    values = np.array([entry["value"] for entry in column["values"]])
    return values.reshape(2 * [int(np.sqrt(values.size))])


def test_structure_is_what_hepdata_takes(written):
    """The rules of its schemas 1.1.1 that these tables could break."""
    _, _, tables = written
    comment, *entries = tables.pop("submission.yaml")
    assert set(comment) == {"comment"}
    assert [e["data_file"] for e in entries] == list(tables)
    assert len({e["name"] for e in entries}) == len(entries)
    for entry in entries:
        assert set(entry) == {"name", "description", "keywords", "data_file", "data_license"}
        assert len(entry["name"]) <= 64
        assert {k["name"] for k in entry["keywords"]} <= {"cmenergies", "observables", "reactions", "phrases"}
        (table,) = tables[entry["data_file"]]
        assert set(table) == {"independent_variables", "dependent_variables"}
        lengths = set()
        for column in [*table["independent_variables"], *table["dependent_variables"]]:
            assert set(column) <= {"header", "values", "qualifiers"}
            assert set(column["header"]) <= {"name", "units"}
            lengths.add(len(column["values"]))
        assert len(lengths) == 1
        for column in table["dependent_variables"]:
            for value in column["values"]:
                assert isinstance(value["value"], float | str)
                assert all(error["symerror"] > 0 and error["label"] for error in value.get("errors", []))
    tables["submission.yaml"] = [comment, *entries]


def test_names_differ_where_case_does_not_count(written):
    assert len({name.lower() for name in written[2]}) == len(written[2])


@pytest.mark.parametrize(("number", "name"), [(1, "m"), (2, "M"), (3, "zg")])
def test_tables_are_the_histograms(written, number, name):
    unfolded, luminosity, tables = written
    (table,), (covariances,) = tables[f"{number}_{name}.yaml"], tables[f"{number}_{name}_covariance.yaml"]
    (column,) = table["dependent_variables"]
    edges, scale = edges_of(table), 1 / (luminosity or 1)
    expected = unfolded.histogram(name, edges)
    values = np.array([v["value"] for v in column["values"]])
    assert np.sum(values * np.diff(edges)) == pytest.approx(scale * expected.nominal.sum(), rel=1e-5)
    assert np.allclose(values, scale * expected.density().nominal, rtol=1e-5)
    unit = "events" if luminosity is None else "fb"
    assert column["header"]["units"] == (f"{unit} / GeV" if name == "m" else unit)

    parts = {c["header"]["name"].removeprefix("covariance, "): matrix(c) for c in covariances["dependent_variables"]}
    assert np.allclose(parts["total"], scale**2 * expected.density().covariance(), rtol=1e-5, atol=1e-3 * scale**2)
    assert np.allclose(parts["total"], sum(m for n, m in parts.items() if n != "total"), rtol=1e-4, atol=1e-3)
    for i, entry in enumerate(column["values"]):
        quoted = {error["label"]: error["symerror"] ** 2 for error in entry["errors"]}
        assert quoted == pytest.approx({n: m[i, i] for n, m in parts.items() if n != "total" and m[i, i]}, rel=1e-4)
        assert sum(quoted.values()) == pytest.approx(parts["total"][i, i], rel=1e-4)
    for part in ("stat", "sys,simulation statistics", "total"):
        assert np.linalg.matrix_rank(parts[part]) == len(values), f"{part} must have full rank"
    pairs = [c["values"] for c in covariances["independent_variables"]]
    assert [(a["low"], b["low"]) for a, b in zip(*pairs, strict=True)] == [
        (a, b) for a in edges[:-1] for b in edges[:-1]
    ]

    (correlation,) = tables[f"{number}_{name}_correlation.yaml"]
    found = matrix(correlation["dependent_variables"][0])
    sigma = np.sqrt(np.diag(parts["total"]))
    assert np.allclose(found, parts["total"] / np.outer(sigma, sigma), atol=1e-4)
    assert np.allclose(np.diag(found), 1)


def test_errors_of_a_family_that_has_none_are_left_out(written):
    unfolded, _, tables = written
    labels = {e["label"] for e in tables["1_m.yaml"][0]["dependent_variables"][0]["values"][0]["errors"]}
    every = {"stat", "sys,simulation statistics", "sys,initialisation", "sys,scale"}
    assert labels == (every if unfolded.joint else every - {"sys,initialisation"})


def test_bins_are_no_finer_than_those_of_a_binned_method(written):
    unfolded, _, tables = written
    edges = edges_of(tables["1_m.yaml"][0])
    own = {0.0, *INNER["m"], 60.0}
    assert edges.tolist() == [e for e in PUBLISHED["m"] if unfolded.joint or e in own]


def test_bins_are_the_declared_ones_and_the_rule_is_stated(written):
    unfolded, _, tables = written
    edges = edges_of(tables["3_zg.yaml"][0])
    assert edges.tolist() == list(PUBLISHED["zg"])
    texts = {e["name"]: e["description"] for e in tables["submission.yaml"][1:]}
    assert "none is merged for want of replicas" in texts["zg"]
    assert "Of 4 declared bins there are 4. Errors: total uncertainty. Values of a probability" in texts["zg"]
    assert f"Of 4 declared bins there are {4 if unfolded.joint else 3}" in texts["m"]


def test_fine_bins_stay_and_a_covariance_that_is_singular_is_called_so(tmp_path):
    fine = {n: o.model_copy(update={"published": ()}) for n, o in DECLARED.items()}
    unfolded = sample(tmp_path / "u.parquet")
    write_tables(tmp_path, unfolded, fine, **WORDS)
    read = {p.name: list(yaml.safe_load_all(p.read_text())) for p in (tmp_path / FOLDER).iterdir()}
    assert np.allclose(edges_of(read["1_m.yaml"][0]), DECLARED["m"].edges)
    texts = {e["name"]: e["description"] for e in read["submission.yaml"][1:]}
    assert "a rank of 14 for 30 bins: do not invert it" in texts["m: covariance"]
    said = "statistical, initialisation and scale uncertainty only"
    assert f"Errors: {said}." in texts["m"]
    names = [c["header"]["name"] for c in read["1_m_covariance.yaml"][0]["dependent_variables"]]
    assert names[0] == f"covariance, {said}"
    assert not any("total" in text for text in (*names, texts["m: covariance"], texts["m: correlation"]))


def test_what_the_bins_do_not_hold_is_stated(written):
    unfolded, luminosity, tables = written
    (fiducial,) = tables["0_fiducial.yaml"]
    (column,) = fiducial["dependent_variables"]
    scale = 1 / (luminosity or 1)
    assert [v["value"] for v in column["values"]] == pytest.approx([3000 * scale] * (1 if unfolded.joint else 3))
    inside = scale * unfolded.histogram("m", [0, 60]).nominal.sum()
    text = next(e["description"] for e in tables["submission.yaml"][1:] if e["name"] == "m")
    assert f"hold {inside:.6g} of {3000 * scale:.6g} {'fb' if luminosity else 'events'}." in text
    assert inside < 3000 * scale


def test_a_bin_without_uncertainty_has_no_correlation(tmp_path):
    random = np.random.default_rng(2)
    x = np.append(random.uniform(0, 1, 400), 2.5)
    boot = {"data_bootstrap": family("data_bootstrap", 12)}
    columns = {"truth_x": x, "event_id": np.arange(401), "weight": np.ones(401)}
    for name in weight_columns(boot)[1:]:
        # The replicas agree on the last event.
        columns[name] = np.append(random.poisson(1, 400), 1.0)
    options = {"method": "omnifold", "kind": "omnifold", "history": [], "record": Record.for_tests()}
    write_unfolded(tmp_path / "u", [columns], observables=["x"], joint=True, families=boot, **options)
    declared = {"x": Observable(name="x", range=(0.0, 3.0), bins=3, atoms=(2.5,))}
    write_tables(tmp_path, Unfolded(tmp_path / "u"), declared, **WORDS | {"licence": "ask us first"})
    read = {p.name: list(yaml.safe_load_all(p.read_text())) for p in (tmp_path / FOLDER).iterdir()}
    (table,) = read["1_x.yaml"]
    assert "errors" not in table["dependent_variables"][0]["values"][-1]
    (correlation,) = read["1_x_correlation.yaml"]
    assert correlation["dependent_variables"][0]["values"][-1] == {"value": "-"}
    assert "data_license" not in read["submission.yaml"][1]


def test_labels():
    assert [label(name) for name, f in FAMILIES.items() if f.adds] == [
        "stat",
        "sys,simulation statistics",
        "sys,initialisation",
        "sys,scale",
    ]
