"""The unfolded sample: round trips, refusals, parts, and the covariance that replicas should give."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pyarrow.parquet as pq
import pytest

from truthward.errors import ConfigError, CorruptError, DivergedError, IncompleteError, InputError
from truthward.events import unfolded_write
from truthward.events.families import FAMILIES as FAMILIES_KNOWN
from truthward.events.families import Family, Histogram, RankWarning, end_to_end, family, weight_columns
from truthward.events.unfolded import Unfolded, write_unfolded
from truthward.run.provenance import Record

FAMILIES = {"data_bootstrap": family("data_bootstrap", 3), "systematic:scale": family("systematic:scale", 1)}
EDGES = np.linspace(0.0, 1.0, 6)


def rows(n: int = 1000, seed: int = 0, families: dict[str, Family] = FAMILIES) -> dict[str, np.ndarray]:
    """A joint sample of one piece; about one weight in ten is negative."""
    random = np.random.default_rng(seed)
    columns = {"truth_x": random.random(n), "truth_y": random.random(n), "event_id": np.arange(n, dtype=np.uint64)}
    for name in weight_columns(families):
        columns[name] = random.random(n) * np.where(random.random(n) < 0.1, -1, 1)
    return columns


def write(path, batches, **changes) -> Unfolded:
    """`write_unfolded` with defaults."""
    options = {"method": "toy", "kind": "omnifold", "observables": ["x"], "joint": True, "families": FAMILIES}
    options |= {"history": [{"iteration": 0, "loss": 0.5}], "record": Record.for_tests()} | changes
    write_unfolded(path, batches, **options)
    return Unfolded(path) if "part" not in changes else None


def cut(columns: dict[str, np.ndarray], size: int) -> list[dict[str, np.ndarray]]:
    """The same rows in pieces of `size`."""
    n = len(columns["event_id"])
    return [{name: c[i : i + size] for name, c in columns.items()} for i in range(0, n, size)]


def test_round_trip(tmp_path):
    given = rows()
    sample = write(tmp_path / "u.parquet", [given], iterations=4, extra={"note": "n"})
    nominal, replicas = sample.weights()
    assert nominal.dtype == np.float64
    assert np.array_equal(nominal, given["weight"])
    assert replicas["data_bootstrap"].shape == (1000, 3)
    assert replicas["data_bootstrap"].dtype == np.float32
    assert np.allclose(replicas["data_bootstrap"][:, 2], given["replica:data_bootstrap:2"])
    assert sample.truth(["y", "x"]).shape == (1000, 2)
    assert np.allclose(sample.truth(["y", "x"])[:, 1], given["truth_x"])
    assert sample.observables == ["x"]
    assert sample.truth_observables == ["x", "y"]
    assert sample.families == FAMILIES
    metadata = sample.metadata
    assert metadata["iterations"] == 4
    assert metadata["note"] == "n"
    assert metadata["history"][0]["loss"] == 0.5
    assert metadata["provenance"]["events_out"] == 1000
    assert metadata["provenance"]["sum_of_weights"] == pytest.approx(given["weight"].sum())
    assert metadata["provenance"]["sum_of_squared_weights"] == pytest.approx((given["weight"] ** 2).sum())
    assert list(tmp_path.iterdir()) == [tmp_path / "u.parquet"]


@pytest.mark.parametrize("values", ["x", lambda truth: truth["x"], "array"])
def test_histogram_agrees_with_numpy(tmp_path, values):
    sample = write(tmp_path / "u.parquet", cut(rows(), 137))
    x = sample.truth(["x"])[:, 0]
    found = sample.histogram(x if values == "array" else values, EDGES)
    nominal, replicas = sample.weights()
    assert np.allclose(found.nominal, np.histogram(x, EDGES, weights=nominal)[0], rtol=1e-12)
    for i in range(3):
        expected = np.histogram(x, EDGES, weights=replicas["data_bootstrap"][:, i].astype(float))[0]
        assert np.allclose(found.replicas["data_bootstrap"][i], expected, rtol=1e-12)
    dense = sample.histogram("x", EDGES, density=True)
    assert np.allclose(dense.nominal, found.nominal / 0.2)


def test_overflow_is_dropped_and_the_last_edge_kept(tmp_path):
    given = rows(4)
    given["truth_x"], given["weight"] = np.array([-0.5, 1.0, 1.5, 0.2]), np.array([1.0, 2.0, 4.0, 8.0])
    sample = write(tmp_path / "u.parquet", [given])
    # 0.2 in float32 lies just above the edge 0.2; the upper edge belongs to the last bin.
    assert sample.histogram("x", EDGES).nominal.tolist() == [0, 8, 0, 0, 2]


@pytest.mark.parametrize("size", [1, 64, 999])
def test_histogram_does_not_depend_on_the_row_groups(tmp_path, size):
    whole = write(tmp_path / "a.parquet", [rows()]).histogram("x", EDGES)
    pieces = write(tmp_path / "b.parquet", cut(rows(), size)).histogram("x", EDGES)
    assert np.allclose(whole.breakdown()["systematic:scale"], pieces.breakdown()["systematic:scale"], rtol=1e-10)
    assert np.allclose(whole.nominal, pieces.nominal, rtol=1e-12)


def test_histogram_is_linear_in_the_weights(tmp_path):
    one, two = rows(seed=1), rows(seed=1)
    for name in weight_columns(FAMILIES):
        two[name] = 3.0 * one[name]
    a = write(tmp_path / "a.parquet", [one]).histogram("y", EDGES)
    b = write(tmp_path / "b.parquet", [two]).histogram("y", EDGES)
    assert np.allclose(3 * a.nominal, b.nominal)
    assert np.allclose(3 * a.sigma, b.sigma, rtol=1e-6)
    assert np.allclose(a.normalised().sigma, b.normalised().sigma, rtol=1e-6)


def test_row_groups_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(unfolded_write, "ROWS", 256)
    write(tmp_path / "u.parquet", [rows()])
    file = pq.ParquetFile(tmp_path / "u.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [256, 256, 256, 232]


# ---- covariance


def test_covariance_by_hand():
    replicas = np.array([[1.0, 4.0], [3.0, 0.0]])
    spread = Family("toy", 2, "spread", 1, "mean")
    assert spread.covariance(replicas, np.zeros(2)).tolist() == [[2, -4], [-4, 8]]
    mean = Family("toy", 2, "error_of_mean", 1, "mean")
    assert mean.covariance(replicas, np.zeros(2)).tolist() == [[1, -2], [-2, 4]]
    shift = family("systematic:s", 1)
    assert shift.covariance(np.array([[3.0, 1.0]]), np.array([1.0, 2.0])).tolist() == [[4, -2], [-2, 1]]
    assert shift.variance(np.array([[3.0, 1.0]]), np.array([1.0, 2.0])).tolist() == [4, 1]


@pytest.mark.parametrize("name", [*(n for n in FAMILIES_KNOWN if n != "systematic"), "systematic:jes"])
def test_the_covariance_of_every_family_by_hand(name):
    """Sampled about their mean with one degree of freedom less; a systematic is the mean square of its shifts."""
    rng = np.random.default_rng(5)
    replicas, nominal = rng.normal(10.0, 1.0, (6, 3)), np.full(3, 9.0)
    member, moved = family(name, 6), nominal + np.array([1.0, 2.0, 3.0])
    if name == "systematic:jes":
        expected, after = (sum(np.outer(r - c, r - c) for r in replicas) / 6 for c in (nominal, moved))
    else:
        expected = after = np.cov(replicas.T, ddof=1)
    np.testing.assert_allclose(member.covariance(replicas, nominal), expected, rtol=1e-12)
    np.testing.assert_allclose(member.variance(replicas, nominal), np.diag(expected), rtol=1e-12)
    np.testing.assert_allclose(member.covariance(replicas, moved), after, rtol=1e-12)


def test_families_add_up_and_break_down():
    shift, boot = family("systematic:s", 1), family("data_bootstrap", 4)
    contents = {"systematic:s": np.array([[3.0, 1.0]]), "data_bootstrap": np.array([[0, 0], [2, 0], [0, 1], [2, 1.0]])}
    histogram = Histogram(np.arange(3.0), np.array([1.0, 2.0]), contents, {f.name: f for f in (shift, boot)})
    with pytest.warns(RankWarning):
        apart = histogram.covariance(["systematic:s"]) + histogram.covariance(["data_bootstrap"])
    assert np.allclose(histogram.covariance(), apart)
    assert np.allclose(np.diag(apart), sum(histogram.breakdown().values()))
    assert np.allclose(histogram.sigma, np.sqrt([4 + 4 / 3, 1 + 1 / 3]))
    with pytest.raises(InputError, match=r"no family 'x'.*data_bootstrap"):
        histogram.covariance(["x"])


def test_combined_replicas_check_the_sum_and_are_no_part_of_it():
    rng = np.random.default_rng(4)
    parts = {n: 10.0 + s * rng.normal(size=(4000, 2)) for n, s in (("data_bootstrap", 1.0), ("initialisation", 2.0))}
    families = {n: family(n, 4000) for n in (*parts, "combined")}
    nominal = np.full(2, 10.0)
    for extra, expected in ((0.0, 0.0), (1.5, 1.5**2)):
        together = 10.0 + np.sqrt(1.0 + 4.0 + extra**2) * rng.normal(size=(4000, 2))
        histogram = Histogram(np.arange(3.0), nominal, parts | {"combined": together}, families)
        assert histogram.residual() == pytest.approx(np.full(2, expected), abs=0.5)
        assert histogram.sigma**2 == pytest.approx(np.full(2, 5.0), abs=0.4)
        assert set(histogram.breakdown()) == set(parts)
    assert Histogram(np.arange(3.0), nominal, parts, {n: families[n] for n in parts}).residual() is None


def test_bootstrap_family_reproduces_the_known_covariance(tmp_path):
    """Poisson weights on N events: the covariance of the histogram is diag(counts)."""
    count, n = 400, 4000
    families = {"data_bootstrap": family("data_bootstrap", count)}
    random = np.random.default_rng(5)
    given = {"truth_x": random.beta(2, 3, n), "event_id": np.arange(n), "weight": np.ones(n)}
    given |= {name: random.poisson(1, n) for name in weight_columns(families)[1:]}
    found = write(tmp_path / "u.parquet", [given], families=families).histogram("x", EDGES)
    expected = np.diag(found.nominal)
    scale = np.sqrt(np.outer(found.nominal, found.nominal))
    # An entry of a sample correlation matrix has an error of about 1 / sqrt(R), the diagonal sqrt(2 / R).
    assert np.abs((found.covariance() - expected) / scale).max() < 5 * np.sqrt(2 / count)
    # Negative control: an error of the mean is far off as the error of a member.
    wrong = Family("data_bootstrap", count, "error_of_mean", 1, "mean")
    assert wrong.variance(found.replicas["data_bootstrap"], found.nominal).max() < found.nominal.min() / 10


def test_rank_warning_where_the_covariance_is_singular():
    replicas = {"data_bootstrap": np.arange(9.0).reshape(3, 3) ** 2, "systematic:s": np.ones((1, 3))}
    families = {"data_bootstrap": family("data_bootstrap", 3), "systematic:s": family("systematic:s", 1)}
    histogram = Histogram(np.arange(4.0), np.array([1.0, 2, 4]), replicas, families)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.linalg.matrix_rank(histogram.covariance()) == 3
        assert histogram.sigma.shape == (3,)
    with pytest.warns(RankWarning, match=r"data_bootstrap \(3 replicas\): the covariance of 3 bins has rank 2 at most"):
        assert np.linalg.matrix_rank(histogram.covariance(["data_bootstrap"])) == 2


def test_normalised_and_merged_by_hand():
    families = {"systematic:s": family("systematic:s", 1)}
    histogram = Histogram(
        np.array([0, 1, 3, 4.0]), np.array([1, 2, 1.0]), {"systematic:s": np.array([[2.0, 4, 2]])}, families
    )
    assert histogram.normalised().nominal.tolist() == [0.25, 0.25, 0.25]
    assert histogram.sigma.tolist() == [1, 2, 1]
    assert histogram.normalised().sigma.tolist() == [0, 0, 0]
    assert histogram.merged(np.array([0, 3.0])).nominal.tolist() == [3]
    assert histogram.merged(np.array([1, 3, 4.0])).replicas["systematic:s"].tolist() == [[4, 2]]
    with pytest.raises(InputError, match="subset"):
        histogram.merged(np.array([0, 2.0]))
    histogram.nominal = np.array([1, -2, 1.0])
    with pytest.raises(InputError, match="is not positive"):
        histogram.normalised()


@pytest.mark.parametrize(
    ("name", "count"), [("bootstrap", 5), ("systematic", 5), ("data_bootstrap:x", 5), ("initialisation", 1)]
)
def test_unknown_or_too_small_family_is_refused(name, count):
    with pytest.raises(ConfigError, match=name):
        family(name, count)


# ---- one observable at a time


def test_per_observable_weights(tmp_path):
    boot = {"data_bootstrap": family("data_bootstrap", 2)}
    given = {"truth_x": np.array([0.1, 0.3]), "truth_y": np.array([0.1, 0.3]), "truth_z": np.ones(2)}
    given["event_id"] = np.arange(2)
    for k, o in enumerate("xy"):
        given |= {name: np.array([1.0 + k, 2.0 + k]) for name in weight_columns(boot, o)}
    sample = write(tmp_path / "u.parquet", [given], joint=False, observables=["x", "y"], families=boot)
    assert sample.histogram("x", EDGES).nominal.tolist() == [1, 2, 0, 0, 0]
    assert sample.histogram("y", EDGES).nominal.tolist() == [2, 3, 0, 0, 0]
    assert sample.histogram(lambda t: t["z"] / 2, EDGES, weights_of="y").nominal.tolist() == [0, 0, 5, 0, 0]
    for call in (lambda: sample.histogram("z", EDGES), lambda: sample.weights()):
        with pytest.raises(InputError, match=r"one observable at a time.*x, y"):
            call()
    del given["replica:y:data_bootstrap:1"]
    with pytest.raises(IncompleteError, match="replica:y:data_bootstrap:1"):
        write(tmp_path / "v.parquet", [given], joint=False, observables=["x", "y"], families=boot)


# ---- what is refused


def broken(**changes):
    """Rows with some columns replaced, or removed where None."""
    return {n: c for n, c in (rows() | changes).items() if c is not None}


NOT_FINITE = np.where(np.arange(1000) < 3, np.inf, 1.0)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (broken(weight=NOT_FINITE), DivergedError, "3 of 1000 weights of weight are not finite"),
        (broken(**{"replica:data_bootstrap:1": -NOT_FINITE}), DivergedError, "3 of 1000 .*data_bootstrap:1"),
        (broken(**{"replica:data_bootstrap:1": np.full(1000, 1e39)}), DivergedError, "1000 of 1000"),
        (broken(weight=np.zeros(1000)), DivergedError, "weight sums to 0"),
        (broken(weight=np.full(1000, -1.0)), DivergedError, "sums to -1000"),
        (broken(**{"replica:data_bootstrap:1": None}), IncompleteError, "replica:data_bootstrap:1"),
        (broken(**{"replica:data_bootstrap:7": np.ones(1000)}), InputError, "data_bootstrap:7 is neither"),
        (broken(truth_x=None), InputError, "no column truth_x"),
        (broken(event_id=None), InputError, "no column event_id"),
        (broken(truth_y=np.full(1000, np.nan)), InputError, "truth_y has values that are not finite"),
        (broken(truth_y=np.ones(999)), InputError, r"truth_y has shape \(999,\)"),
    ],
)
def test_broken_samples_are_refused_and_leave_nothing(tmp_path, given, error, message):
    with pytest.raises(error, match=message):
        write(tmp_path / "u.parquet", [given])
    assert list(tmp_path.iterdir()) == []


def test_empty_and_changing_rows_are_refused(tmp_path):
    with pytest.raises(InputError, match="no truth events"):
        write(tmp_path / "u.parquet", [])
    changed = {n: c for n, c in rows().items() if n != "truth_y"}
    with pytest.raises(InputError, match="change from one batch"):
        write(tmp_path / "u.parquet", [rows(), changed])


def test_bad_files_and_questions(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        Unfolded(tmp_path / "none.parquet")
    sample = write(tmp_path / "u.parquet", [rows()])
    (tmp_path / "half.parquet").write_bytes((tmp_path / "u.parquet").read_bytes()[:2000])
    with pytest.raises(CorruptError, match=r"half\.parquet"):
        Unfolded(tmp_path / "half.parquet")
    with pytest.raises(InputError, match=r"no observable 'z'; there are: x, y"):
        sample.histogram("z", EDGES)
    with pytest.raises(InputError, match="increasing"):
        sample.histogram("x", EDGES[::-1])
    with pytest.raises(InputError, match="shape"):
        sample.histogram(np.ones(3), EDGES)
    with pytest.raises(InputError, match="1000 values"), np.errstate(divide="ignore"):
        sample.histogram(lambda t: t["x"] / np.zeros_like(t["x"]), EDGES)
    table = pq.read_table(tmp_path / "u.parquet").replace_schema_metadata({"truthward": json.dumps({})})
    pq.write_table(table, tmp_path / "other.parquet")
    with pytest.raises(InputError, match="no unfolded sample"):
        Unfolded(tmp_path / "other.parquet")


def test_weights_that_are_not_finite_are_counted_over_all_batches(tmp_path):
    with pytest.raises(DivergedError, match="6 of 2000 weights of weight"):
        write(tmp_path / "u.parquet", [broken(weight=NOT_FINITE)] * 2)


def test_histograms_end_to_end_keep_the_correlation_between_observables():
    rng = np.random.default_rng(5)
    families = {"data_bootstrap": family("data_bootstrap", 400)}
    shared = rng.normal(size=(400, 1))

    def one(bins: int) -> Histogram:
        replicas = 10.0 + shared + 0.1 * rng.normal(size=(400, bins))
        return Histogram(np.arange(bins + 1.0), np.full(bins, 10.0), {"data_bootstrap": replicas}, families)

    whole = end_to_end([one(2), one(3)])
    covariance = whole.covariance()
    correlation = covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert correlation.shape == (5, 5)
    assert correlation[0, 4] > 0.95
    with pytest.raises(InputError, match="different families of replicas"):
        end_to_end([one(2), Histogram(np.arange(2.0), np.ones(1), {}, {})])


def test_weights_of_replicas_take_less_space_than_their_numbers(tmp_path):
    """A dictionary of numbers that do not repeat takes more. Exponents repeat, and nothing is rounded."""
    given, random = rows(20_000), np.random.default_rng(2)
    for name in weight_columns(FAMILIES)[1:]:
        given[name] = random.lognormal(0.0, 0.1, 20_000).astype(np.float32)
    found = write(tmp_path / "u.parquet", [given])
    columns = pq.ParquetFile(tmp_path / "u.parquet").metadata.row_group(0)
    sizes = {
        columns.column(k).path_in_schema: columns.column(k).total_compressed_size for k in range(columns.num_columns)
    }
    for name in weight_columns(FAMILIES)[1:]:
        assert sizes[name] < 0.9 * 4 * 20_000
        assert np.array_equal(next(found.batches([name]))[name], given[name])
