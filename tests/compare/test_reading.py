"""Predictions of every format are read as they were written, and what cannot be compared is refused with words."""

from __future__ import annotations

import gzip
import importlib

import numpy as np
import pandas as pd
import pytest
import uproot
import yaml

from tests.compare import toys
from truthward.compare.prediction import checked
from truthward.compare.section import Entry, entry_from
from truthward.compare.sources import entries_of, read
from truthward.errors import ConfigError, InputError


@pytest.fixture
def events(random) -> np.ndarray:
    return toys.truth(200, random)


def columns(events: np.ndarray, prefix: str = "truth_") -> dict[str, np.ndarray]:
    found = {f"{prefix}{n}": events[:, i] for i, n in enumerate(toys.NAMES)}
    return found | {"weight": np.linspace(0.5, 1.5, len(events)), "pass_truth": np.arange(len(events)) % 4 != 0}


def write_root(path, table) -> None:
    with uproot.recreate(path) as file:
        file.mktree("events", {n: v.dtype for n, v in table.items()}).extend(table)


@pytest.mark.parametrize("prefix", ["truth_", ""])
@pytest.mark.parametrize("ending", ["root", "parquet"])
def test_events_with_the_usual_names_need_no_map(tmp_path, events, prefix, ending) -> None:
    table = columns(events, prefix)
    path = tmp_path / f"a.{ending}"
    write_root(path, table) if ending == "root" else pd.DataFrame(table).to_parquet(path)
    found = read("a", Entry(file=str(path)), toys.NAMES)
    kept = table["pass_truth"]
    assert found.values["x"] == pytest.approx(events[kept, 0].astype(np.float32))
    assert found.weights == pytest.approx(table["weight"][kept])


def test_a_flag_that_is_nan_drops_no_event_in_silence(tmp_path, events) -> None:
    table = columns(events)
    table["pass_truth"] = np.where(np.arange(len(events)) == 7, np.nan, 1.0)
    write_root(tmp_path / "a.root", table)
    with pytest.raises(InputError, match="pass_truth: 1 values are neither 0 nor 1, first at entry 7"):
        read("a", Entry(file=str(tmp_path / "a.root")), toys.NAMES)


@pytest.mark.parametrize("ending", ["root", "parquet"])
def test_a_file_of_predictions_maps_and_selects(tmp_path, events, ending) -> None:
    table = {"a": 1000 * events[:, 0], "b": events[:, 1], "w": np.full(len(events), 2.0)}
    path = tmp_path / f"a.{ending}"
    write_root(path, table) if ending == "root" else pd.DataFrame(table).to_parquet(path)
    entry = {
        "file": path.name,
        "columns": {"x": "a / 1000", "truth_y": "b", "weight": "w"},
        "select": "(a > 0) & (b < 1)",
    }
    (tmp_path / "predictions.yaml").write_text(yaml.safe_dump({"Herwig": entry | {"scale": 0.5}}))
    entries = entries_of([str(tmp_path / "predictions.yaml"), f"again={path}"])
    assert list(entries) == ["Herwig", "again"]
    found = read("Herwig", entries["Herwig"], toys.NAMES)
    kept = (events[:, 0] > 0) & (events[:, 1] < 1)
    assert found.values["x"] == pytest.approx(events[kept, 0], rel=1e-6)
    assert found.weights == pytest.approx(np.ones(kept.sum()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": {"x": "c", "y": "b"}}, "no column c; "),
        ({"columns": {"x": "a"}}, "no column for the observable y"),
        ({"columns": {"z": "a"}}, r"columns\.z: not an observable of the publication"),
        ({"columns": {"x": "a", "y": "sqrt(b)"}}, "y: .* of 200 values are not finite"),
        ({"columns": {"x": "1000 * a", "y": "b"}}, "it seems to be in MeV: divide by 1000"),
        ({"columns": {"x": "a", "y": "b", "weight": "0"}}, "all weights are zero"),
        ({"columns": {"x": "a", "y": "b", "weight": "b - 100"}}, "the weights sum to -"),
        ({"columns": {"x": "a", "y": "b"}, "select": "a > 1e6"}, "no event is left"),
    ],
)
def test_events_that_cannot_be_compared_are_refused(tmp_path, events, change, message) -> None:
    write_root(tmp_path / "a.root", {"a": events[:, 0], "b": events[:, 1]})
    values = {n: events[:, i] for i, n in enumerate(toys.NAMES)}
    with pytest.raises(InputError, match=message):
        checked(read("a", Entry(file=str(tmp_path / "a.root"), **change), toys.NAMES), observables=values)


def test_what_a_file_of_predictions_may_hold(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"p: A\.colums: no such key; nearest names: columns"):
        entry_from({"file": "a", "colums": {}}, "p: A")
    with pytest.raises(ConfigError, match=r"p: A\.file: field required"):
        entry_from({}, "p: A")
    with pytest.raises(ConfigError, match="two predictions have this label"):
        entries_of(["a/b.root", "c/b.root"])
    with pytest.raises(InputError, match=r"nowhere\.root: no such file"):
        read("a", Entry(file="nowhere.root"), ["x"])
    (tmp_path / "a.dat").write_text("text")
    with pytest.raises(InputError, match="not a prediction; valid"):
        read("a", Entry(file=str(tmp_path / "a.dat")), ["x"])


EDGES, CONTENTS = [-5.0, -1.0, 0.5, 5.0], [10.0, 30.0, 20.0]
V2 = """BEGIN YODA_HISTO1D_V2 {path}
Path: {path}
ScaledBy: 2.0e+00
Type: Histo1D
---
# Mean: 1.0e+00
# ID\t ID\t sumw\t sumw2\t sumwx\t sumwx2\t numEntries
Total   \tTotal   \t70\t70\t1\t1\t70
Underflow\tUnderflow\t5\t5\t1\t1\t5
Overflow\tOverflow\t5\t5\t1\t1\t5
# xlow\t xhigh\t sumw\t sumw2\t sumwx\t sumwx2\t numEntries
-5.0e+00\t-1.0e+00\t1.0e+01\t1.0e+01\t1\t1\t10
-1.0e+00\t5.0e-01\t3.0e+01\t3.0e+01\t1\t1\t30
5.0e-01\t5.0e+00\t2.0e+01\t2.0e+01\t1\t1\t20
END YODA_HISTO1D_V2

"""
V3 = """BEGIN YODA_HISTO1D_V3 {path}
Path: {path}
Type: Histo1D
---
# Integral: 6.0e+01
Edges(A1): [-5.000000e+00, -1.000000e+00, 5.000000e-01, 5.000000e+00]
# sumW       \tsumW2        \tsumW(A1)     \tsumW2(A1)    \tnumEntries
5.0e+00 \t5.0e+00 \t0 \t0 \t5
1.0e+01 \t1.0e+01 \t0 \t0 \t10
3.0e+01 \t3.0e+01 \t0 \t0 \t30
2.0e+01 \t2.0e+01 \t0 \t0 \t20
5.0e+00 \t5.0e+00 \t0 \t0 \t5
END YODA_HISTO1D_V3

"""
ESTIMATE = """BEGIN YODA_ESTIMATE1D_V3 {path}
Path: {path}
Type: Estimate1D
---
Edges(A1): [-5.000000e+00, -1.000000e+00, 5.000000e-01, 5.000000e+00]
ErrorLabels: ["stats"]
# value      \terrDn(1)     \terrUp(1)
nan          \t---          \t---
2.5e+00      \t-7.9057e-01  \t7.9057e-01
2.0e+01      \t-3.6515e+00  \t3.6515e+00
4.44444e+00  \t-9.9381e-01  \t9.9381e-01
nan          \t---          \t---
END YODA_ESTIMATE1D_V3

"""
SCATTER = """BEGIN YODA_SCATTER2D_V2 {path}
Path: {path}
Type: Scatter2D
---
# xval\t xerr-\t xerr+\t yval\t yerr-\t yerr+
-3.0e+00\t2.0e+00\t2.0e+00\t2.5e+00\t7.9057e-01\t7.9057e-01
-2.5e-01\t7.5e-01\t7.5e-01\t2.0e+01\t3.6515e+00\t3.6515e+00
2.75e+00\t2.25e+00\t2.25e+00\t4.44444e+00\t9.9381e-01\t9.9381e-01
END YODA_SCATTER2D_V2

"""


@pytest.mark.parametrize("block", [V2, V2.replace("---\n", "").replace("_V2", ""), V3, ESTIMATE, SCATTER])
@pytest.mark.parametrize("packed", [False, True])
def test_yoda_of_both_versions(tmp_path, block, packed) -> None:
    text = block.format(path="/TOY/x") + block.format(path="/TOY/x[weight]") + block.format(path="/RAW/TOY/x")
    path = tmp_path / ("a.yoda.gz" if packed else "a.yoda")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    found = read("a", Entry(file=str(path)), ["x"]).counted_by["x"]
    assert found.edges == pytest.approx(EDGES)
    assert found.contents == pytest.approx(CONTENTS, rel=1e-4)
    assert np.diag(found.covariance) == pytest.approx(CONTENTS, rel=1e-3)


def test_yoda_objects_are_chosen_by_name_or_map(tmp_path) -> None:
    path = tmp_path / "a.yoda"
    path.write_text(V2.format(path="/A/d01-x01-y01") + V3.format(path="/A/y") + V3.format(path="/B/y"))
    with pytest.raises(InputError, match=r"no histogram of x; .*d01"):
        read("a", Entry(file=str(path)), ["x"])
    with pytest.raises(InputError, match="/A/y, /B/y may all be y"):
        read("a", Entry(file=str(path), histograms={"x": "/A/d01-x01-y01"}), ["x", "y"])
    chosen = Entry(file=str(path), histograms={"x": "/A/d01-x01-y01", "y": "/B/y"}, scale=2.0)
    assert read("a", chosen, ["x", "y"]).counted_by["x"].contents == pytest.approx(2 * np.array(CONTENTS))
    for broken in (
        V3.replace("3.0e+01 \t3.0e+01 \t0 \t0 \t30\n", ""),
        V2.replace("-1.0e+00\t5.0e-01", "-0.5\t5.0e-01"),
        ESTIMATE.replace("2.5e+00  ", "---  "),
    ):
        path.write_text(broken.format(path="/A/x"))
        with pytest.raises(InputError, match="not as YODA writes it"):
            read("a", Entry(file=str(path)), ["x"])


def test_a_gap_is_no_error_and_nan_is_refused(tmp_path) -> None:
    path = tmp_path / "a.yoda"
    path.write_text(ESTIMATE.replace("-7.9057e-01  \t7.9057e-01", "---  \t---").format(path="/A/x"))
    assert np.diag(read("a", Entry(file=str(path)), ["x"]).counted_by["x"].covariance)[0] == 0
    path.write_text(ESTIMATE.replace("-7.9057e-01  \t7.9057e-01", "nan  \tnan").format(path="/A/x"))
    with pytest.raises(InputError, match="edges, values and errors must be finite"):
        read("a", Entry(file=str(path)), ["x"])


def test_hepdata_tables_are_read_as_the_publication_writes_them(published) -> None:
    """A publication is a prediction for another one: the tables of its submission have the names of observables."""
    found = read("a", Entry(file=str(published.folder / "hepdata" / "submission.yaml")), toys.NAMES)
    one = published.histogram("x", published.edges["x"])
    assert found.counted_by["x"].contents == pytest.approx(one.nominal, rel=1e-5)
    assert np.sqrt(np.diag(found.counted_by["x"].covariance)) == pytest.approx(one.sigma, rel=1e-4)
    table = next((published.folder / "hepdata").glob("*_x.yaml"))
    alone = Entry(file=str(table), histograms={"x": table.stem})
    assert read("a", alone, ["x"]).counted_by["x"].contents == pytest.approx(one.nominal, rel=1e-5)


LHE = """<LesHouchesEvents version="3.0">
<init>
 2212 2212 7.0e3 7.0e3 0 0 247000 247000 -4 1
</init>
<event>
 4 1 0.25 91.2 0.0075 0.118
 21 -1 0 0 501 502 0 0 100 100 0 0 9
 12 1 1 2 0 0 30 40 0 50 0 0 9
 1 1 1 2 501 0 -30 -40 10 51.0 0 0 9
 2 1 1 2 0 501 1 0 0 1 0 0 9
# a comment
</event>
<event>
 1 1 0.5 91.2 0.0075 0.118
 12 1 1 2 0 0 3 4 0 5 0 0 9
</event>
</LesHouchesEvents>
"""


@pytest.mark.parametrize("packed", [False, True])
def test_lhe_events_give_expressions_over_particles_and_jets(tmp_path, packed) -> None:
    path = tmp_path / ("a.lhe.gz" if packed else "a.lhe")
    path.write_bytes(gzip.compress(LHE.encode()) if packed else LHE.encode())
    entry = Entry(file=str(path), columns={"x": "missing_pt", "y": "count(jet_pt)"})
    found = read("a", entry, toys.NAMES)
    assert found.values["x"] == pytest.approx([50.0, 5.0])
    assert found.values["y"].tolist() == [1.0, 0.0]
    assert found.weights.tolist() == [0.25, 0.5]
    assert "partons" in found.notes[0]
    jet = Entry(file=str(path), columns={"x": "jet_pt[0]", "y": "lead_M"}, select="lead_pt > 0")
    found = read("a", jet, toys.NAMES)
    assert found.values["x"] == pytest.approx([50.0])
    assert found.values["y"].tolist() == [1.0]
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="cannot be read as an LHE file"):
        read("a", entry, toys.NAMES)


HEPMC = """HepMC::Version 3.02.05
HepMC::Asciiv3-START_EVENT_LISTING
W Weight
E 0 1 4
U MEV MM
W 2.5
P 1 0 2212 0 0 7000000 7000000 0 4
V -1 0 [1]
P 2 -1 14 30000 40000 0 50000 0 1
P 3 -1 211 -30000 -40000 10000 51000 139.57 1
P 4 -1 111 0 -1000 0 1010 134.98 1
HepMC::Asciiv3-END_EVENT_LISTING
"""


def test_hepmc_events(tmp_path) -> None:
    pytest.importorskip("pyhepmc")
    path = tmp_path / "a.hepmc"
    path.write_text(HEPMC)
    found = read("a", Entry(file=str(path), columns={"x": "missing_pt", "y": "lead_M"}), toys.NAMES)
    assert found.values["x"] == pytest.approx([50.0])
    assert found.values["y"].tolist() == [1.0]
    assert found.weights.tolist() == [2.5]
    assert "pi0" in found.notes[0]
    path.write_text("nothing")
    with pytest.raises(InputError, match=r"no event is in these files|cannot be read as HepMC3"):
        read("a", Entry(file=str(path), columns={"x": "missing_pt", "y": "lead_M"}), toys.NAMES)


def test_without_the_package_for_hepmc_the_way_is_said(tmp_path, monkeypatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    (tmp_path / "a.hepmc").write_text(HEPMC)
    with pytest.raises(ConfigError, match=r"pip install 'truthward\[hepmc\]'"):
        read("a", Entry(file=str(tmp_path / "a.hepmc"), columns={"x": "missing_pt", "y": "lead_M"}), toys.NAMES)
