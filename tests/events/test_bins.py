"""A value is in the bin in which numpy puts the double that was meant, on an edge too, in all that counts events."""

from __future__ import annotations

import ast
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

import truthward
from truthward.events.bins import bin_of, binned, cell_of, extended
from truthward.events.families import family
from truthward.events.table import EventTable
from truthward.events.table_write import write_table
from truthward.events.unfolded import Unfolded, write_unfolded
from truthward.ingest.summary import summarise
from truthward.study.observable import Observable
from truthward.unfold.ibu import _sums
from truthward.unfold.stop.rules import Bins
from truthward.validate.distances import Counts, unfolded_histogram
from truthward.validate.method.progress import _filled
from truthward.validate.method.refold import Response

TENTHS = Observable(name="z", range=(0.0, 1.0), bins=10)


def random_binning(rng: np.random.Generator) -> tuple[list[float], np.ndarray]:
    """Edges of a binning in decimals, and doubles of as many digits: many on an edge, some beyond the range."""
    digits, bins = int(rng.integers(0, 4)), int(rng.integers(1, 60))
    low, step = int(rng.integers(-300, 300)), int(rng.integers(1, 9))
    high = low + step * bins
    doubles = [float(Fraction(int(k), 10**digits)) for k in rng.integers(low - 3, high + 4, 2000)]
    ends = tuple(float(Fraction(end, 10**digits)) for end in (low, high))
    edges = Observable(name="z", range=ends, bins=bins).edges
    assert edges == [float(Fraction(low + step * i, 10**digits)) for i in range(bins + 1)], (
        "the decimals that are meant"
    )
    return edges, np.array(doubles)


@pytest.mark.parametrize("seed", range(60))
def test_float32_is_where_numpy_puts_the_doubles(seed):
    rng = np.random.default_rng(seed)
    edges, doubles = random_binning(rng)
    stored, weights = doubles.astype(np.float32), rng.integers(-3, 9, doubles.size).astype(float)
    expected = np.histogram(doubles, edges, weights=weights)[0]
    np.testing.assert_array_equal(binned(stored, edges, weights), expected)
    np.testing.assert_array_equal(Counts.of(stored, weights, edges).inner, expected)
    beyond = [weights[doubles < edges[0]].sum(), weights[doubles > edges[-1]].sum()]
    np.testing.assert_array_equal(Counts.of(stored, weights, edges).contents[[0, -1]], beyond)
    inner = np.digitize(doubles, edges[1:-1])
    np.testing.assert_array_equal(cell_of(stored, edges[1:-1]), inner)
    np.testing.assert_array_equal(bin_of(stored.astype(float), edges), bin_of(doubles, edges))


def test_one_bin_for_a_value_in_all_that_counts_events(tmp_path, record):
    """Tenths in ten bins, of which the float32 of 0.7 and 0.9 are below the doubles."""
    tenths = np.random.default_rng(1).integers(0, 11, 3000) / 10
    expected = np.histogram(tenths, TENTHS.edges)[0].astype(float)
    assert expected[6:].min() > 200
    columns = {
        "truth_z": tenths.astype(np.float32),
        "reco_z": tenths.astype(np.float32),
        "pass_truth": np.ones(3000, bool),
        "pass_reco": np.ones(3000, bool),
        "weight": np.ones(3000),
        "event_id": np.arange(3000, dtype=np.uint64),
    }
    shown = {"z": TENTHS.model_dump(mode="json")}
    write_table(tmp_path / "t.parquet", [columns], observables=shown, role="simulation", selection={}, record=record)
    table = EventTable(tmp_path / "t.parquet")
    summary = summarise(table, None, [TENTHS])["observables"]["z"]
    assert summary["truth"]["sum"] == summary["reco"]["sum"] == np.diag(summary["response"]).tolist()
    found = {"summary": summary["truth"]["sum"]}
    families = {"data_bootstrap": family("data_bootstrap", 2)}
    rows = {"truth_z": columns["truth_z"], "event_id": columns["event_id"], "weight": np.ones(3000)}
    rows |= {f"replica:data_bootstrap:{i}": np.full(3000, 2.0) for i in range(2)}
    write_unfolded(
        tmp_path / "u.parquet",
        [rows],
        method="toy",
        kind="omnifold",
        observables=["z"],
        joint=True,
        families=families,
        history=[],
        record=record,
    )
    unfolded = Unfolded(tmp_path / "u.parquet")
    found["unfolded"] = unfolded.histogram("z", TENTHS.edges).nominal
    found["replica"] = unfolded.histogram("z", TENTHS.edges).replicas["data_bootstrap"][1] / 2
    found["validated"] = unfolded_histogram(unfolded, "z", np.array(TENTHS.edges))[0].nominal
    found["refolded"] = Response.of(table, {"z": np.array(TENTHS.edges)})["z"].matched.sum(axis=0)[1:-1]
    found["progress"] = _filled(table, {"z": TENTHS.edges[1:-1]}, 10)[0][0]
    found["ibu"] = _sums(columns["truth_z"], np.ones(3000), TENTHS.edges[1:-1])[0]
    watched = Bins(columns["truth_z"][:, None])
    watched.inner = [np.array(TENTHS.edges[1:-1])]
    found["stopping"] = watched.filled(columns["truth_z"][:, None], np.ones((3000, 1)))[:, 0]
    for name, contents in found.items():
        np.testing.assert_array_equal(contents, expected, err_msg=name)


ELSEWHERE = {
    "amplify.target": "shells of a target of known density, in double precision",
    "calibrate.closure": "pulls, computed in double precision, and quantiles",
    "ingest.bulk": "quantiles",
    "ingest.certified": "luminosity sections among ranges of them",
    "events.split": "hashes",
    "compare.unbinned": "places among sorted values",
    "events.join": "event numbers",
    "publish.explore.page": "columns among numbers of columns",
    "events.readers.objects.constituents": "references of ROOT",
    "physics.decays": "draws",
    "physics.detector": "regions of the detector",
    "physics.particles": "kinds of particles, and events among particles",
    "events.bootstrap": "draws",
    "unfold.generative.conditions": "how peaked a distribution is, in double precision",
    "unfold.generative.held_out": "rows among rows",
    "validate.method.folded": "ids",
    "validate.metrics": "scores of classifiers",
    "validate.method.refold": "bins among bins",
    "validate.two_sample": "scores of classifiers, quantiles",
}
"""What else looks for places among numbers, none of them the bin of a value that a table holds."""


BINNING = {"histogram2d", "histogramdd", "digitize", "searchsorted", "bucketize", "histc"}


def bins_itself(call: ast.Call) -> bool:
    function = call.func
    if not isinstance(function, ast.Attribute):
        return False
    # Edges among edges are what was declared, to the last digit; ids among ids are rows.
    sought = ast.unparse(call.args[1]) if len(call.args) > 1 else ""
    if function.attr == "searchsorted" and ("edges" in sought or sought.endswith("ids")):
        return False
    of_numpy = isinstance(function.value, ast.Name) and function.value.id == "np"
    return function.attr in BINNING or (of_numpy and function.attr == "histogram")


def test_no_other_code_finds_bins():
    package = Path(truthward.__file__).parent
    found = set()
    for path in package.rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        if any(map(bins_itself, calls)):
            found.add(".".join(path.relative_to(package).with_suffix("").parts))
    # What networks take in is scaled, and never binned.
    found = {name for name in found if not name.startswith("learn.")}
    assert found - ELSEWHERE.keys() == {"events.bins"}, "use events.bins, or say above what this is"


def test_extended_edges_have_the_last_value_inside():
    edges = extended([0.0, 0.3, 0.7])
    assert edges[0] == -np.inf
    assert edges[-1] == np.inf
    assert np.float32(0.7) < edges[-2] == np.nextafter(np.float32(0.7), np.float32(1))
    assert bin_of(np.float32([0.7, edges[-2], np.inf, -np.inf]), [0.0, 0.3, 0.7]).tolist() == [2, 3, 3, 0]


def test_edges_are_the_decimals_that_are_meant():
    assert TENTHS.edges == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert Observable(range=(0.1, 0.9), bins=8).edges[2] == 0.3
    assert Observable(range=(0, 1.2), bins=50).edges[3] == 0.072
    assert Observable(range=(1, 1000), bins=3, scale="log").edges == [1, 10, 100, 1000]
    integers = Observable(range=(0, 80), bins=80, integer=True).edges
    assert integers == list(range(81))
    np.testing.assert_array_equal(bin_of(np.arange(81), integers), [*range(1, 81), 80])


def test_bins_that_float32_cannot_tell_apart_are_refused():
    with pytest.raises(ValidationError, match=r"the bin at 20000000\.0 is too narrow for float32"):
        Observable(range=(2e7, 2e7 + 20), bins=20)
    with pytest.raises(ValidationError, match="is too large: event tables hold float32"):
        Observable(range=(0, 1e39), bins=2)
