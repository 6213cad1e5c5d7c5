"""Constituents as a padded array: order, padding, the remainder, and what does not pass."""

import awkward as ak
import numpy as np
import pytest

from truthward.errors import ConfigError, InputError
from truthward.events import constituents
from truthward.events.constituents import hardest
from truthward.events.table import EventTable
from truthward.events.table_write import write_table


@pytest.fixture
def table(tmp_path, record, events):
    def make(size: int = 40, *, columns=("pt", "eta", "phi", "pid")) -> tuple[EventTable, dict]:
        rng = np.random.default_rng(3)
        counts = np.arange(size) % 7
        draw = {
            "pt": rng.exponential(5.0, counts.sum()),
            "eta": rng.normal(size=counts.sum()),
            "phi": np.pi - rng.random(counts.sum()) * 1e-3 * rng.choice([0.0, 1.0], counts.sum()),
            "pid": rng.choice([22, -211, 130, 13], counts.sum()),
        }
        lists = {f"reco_constituents_{n}": ak.unflatten(draw[n].astype(np.float32), counts) for n in columns}
        given = events(size) | lists
        path = tmp_path / "t.parquet"
        write_table(path, [given], role="simulation", observables={}, selection={}, record=record)
        return EventTable(path), given

    return make


def test_hardest_first_then_padding(table):
    read, given = table()
    found = hardest(read, "reco", 8)
    assert found.shape == (40, 8, 4)
    assert found.dtype == np.float32
    assert np.isnan(found[~given["pass_reco"]]).all()
    for row in np.flatnonzero(given["pass_reco"]):
        pt, pid = (ak.to_numpy(given[f"reco_constituents_{n}"][row]) for n in ("pt", "pid"))
        order, n = np.argsort(-pt), len(pt)
        np.testing.assert_array_equal(found[row, :n, 0], pt[order])
        codes = {22: 2, -211: 1, 13: 1, 130: 3}
        np.testing.assert_array_equal(found[row, :n, 3], [codes[int(p)] for p in pid[order]])
        assert (found[row, n:] == 0).all()


def test_what_does_not_fit_is_one_remainder(table, caplog):
    read, given = table()
    with caplog.at_level("INFO"):
        found = hardest(read, "reco", 3)
    for row in np.flatnonzero(given["pass_reco"]):
        pt, eta = (ak.to_numpy(given[f"reco_constituents_{n}"][row]) for n in ("pt", "eta"))
        order = np.argsort(-pt)
        pt, eta = pt[order], eta[order]
        if len(pt) > 3:
            np.testing.assert_array_equal(found[row, :2, 0], pt[:2])
            assert found[row, 2, 0] == pytest.approx(pt[2:].sum(), rel=1e-6)
            assert found[row, 2, 1] == pytest.approx(np.average(eta[2:], weights=pt[2:]), abs=1e-5)
            assert found[row, 2, 3] == -(len(pt) - 2)
            assert abs(found[row, 2, 2]) == pytest.approx(np.pi, abs=2e-3), "a mean of azimuths at pi is not zero"
        else:
            assert (found[row, :, 3] >= 0).all()
        assert found[row, :, 0].sum() == pytest.approx(pt.sum(), rel=1e-5)
    counts = ak.to_numpy(ak.num(given["reco_constituents_pt"]))[given["pass_reco"]]
    assert f"{(counts[counts > 3] - 2).sum()} of them merged in {(counts > 3).sum()} events" in caplog.text


def test_does_not_depend_on_the_batches(table, monkeypatch):
    read, _ = table()
    whole = hardest(read, "reco", 4)
    monkeypatch.setattr(constituents, "ROWS", 9)
    np.testing.assert_array_equal(hardest(read, "reco", 4), whole)


def test_no_pid_is_one_kind(table):
    read, given = table(columns=("pt", "eta", "phi"))
    found = hardest(read, "reco", 8)[given["pass_reco"]]
    assert set(np.unique(found[..., 3])) == {0.0, 1.0}


def test_refusals(table):
    read, _ = table(columns=("pt", "phi"))
    with pytest.raises(InputError, match="reco_constituents_eta"):
        hardest(read, "reco")
    with pytest.raises(InputError, match="truth_constituents_pt"):
        hardest(read, "truth")
    with pytest.raises(ConfigError, match="at least 1"):
        hardest(read, "reco", 0)
