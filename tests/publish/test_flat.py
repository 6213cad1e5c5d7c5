"""A publication as a flat table and back is the same; tables of others are read by the names of their columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.compare import toys
from truthward.cli.main import main
from truthward.errors import InputError
from truthward.events.unfolded import Unfolded
from truthward.publish.flat import METADATA, read_flat, write_flat
from truthward.publish.verify import examine, verify

EDGES = np.linspace(-2, 2, 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return toys.publication(tmp_path_factory.mktemp("toy"), 1, data=300, simulation=600, replicas=5)


def test_there_and_back_gives_the_same_covariance(folder, tmp_path) -> None:
    write_flat(folder, tmp_path / "flat")
    read_flat(tmp_path / "flat", tmp_path / "back.parquet")
    before, after = (Unfolded(p).histogram("x", EDGES) for p in (folder / "events.parquet", tmp_path / "back.parquet"))
    assert before.families == after.families
    assert np.array_equal(before.nominal, after.nominal)
    assert np.allclose(before.covariance(["data_bootstrap"]), after.covariance(["data_bootstrap"]), rtol=1e-6)
    assert np.allclose(before.sigma, after.sigma)


def test_the_table_needs_pandas_alone(folder, tmp_path) -> None:
    write_flat(folder, tmp_path / "flat")
    table, said = (
        pd.read_parquet(tmp_path / "flat" / "events.parquet"),
        yaml.safe_load((tmp_path / "flat" / METADATA).open()),
    )
    assert {"x", "y", "weights_nominal", "weights_bootstrap_data_4", "weights_bootstrap_mc_0"} <= set(table.columns)
    assert said["families"]["systematic:shift"]["columns"] == "weights_shift_<i>"
    h = [np.histogram(table["x"], EDGES, weights=table[f"weights_bootstrap_mc_{i}"])[0] for i in range(5)]
    expected = Unfolded(folder / "events.parquet").histogram("x", EDGES)
    assert np.std(h, axis=0, ddof=1) == pytest.approx(np.sqrt(expected.breakdown()["mc_bootstrap"]), rel=1e-5)


@pytest.fixture
def foreign():
    """A table with the names of an experiment's release."""
    n, random = 400, np.random.default_rng(3)
    base = random.gamma(3, 1, n)
    table = {"pT_ll": 200 + random.exponential(50, n), "m": random.gamma(4, 5, n), "weight_mc": np.ones(n)}
    table |= {f"weights_ensemble_{i}": base * random.normal(1, 0.05, n) for i in range(10)}
    table["weights_nominal"] = np.mean([table[f"weights_ensemble_{i}"] for i in range(10)], axis=0)
    table |= {f"weights_bootstrap_{k}_{i}": base * random.poisson(1, n) for k in ("data", "mc") for i in range(6)}
    table |= {"weights_pileup": 1.02 * base, "weights_theoryPDF": 0.99 * base}
    table |= {"weights_dd": 1.1 * base, "target_dd": 1.05 * base}
    return pd.DataFrame(table)


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_families_follow_from_names(foreign, tmp_path, ending) -> None:
    path = tmp_path / f"multifold.{ending}"
    foreign.to_parquet(path) if ending == "parquet" else foreign.to_csv(path, index=False)
    notes = read_flat(path, tmp_path / "u.parquet", observables=["m"])
    sample = Unfolded(tmp_path / "u.parquet")
    counts = {n: f.count for n, f in sample.families.items()}
    assert counts == {
        "initialisation": 10,
        "data_bootstrap": 6,
        "mc_bootstrap": 6,
        "systematic:pileup": 1,
        "systematic:theoryPDF": 1,
        "systematic:dd": 1,
    }
    assert sample.observables == ["m"]
    assert sample.truth_observables == ["m", "pT_ll"]
    assert sample.families["initialisation"].statement == "error_of_mean"
    whole = sample.histogram("m", np.array([0.0, 1e3]))
    shift = foreign["weights_dd"].sum() - foreign["target_dd"].sum()
    assert whole.breakdown()["systematic:dd"] ** 0.5 == pytest.approx(shift, rel=1e-3)
    assert len(notes) == 2


def test_what_cannot_be_read_is_refused(foreign, tmp_path) -> None:
    for change, message in (
        (lambda t: t.drop(columns="weights_nominal"), "no column weights_nominal"),
        (
            lambda t: t.drop(columns="weights_bootstrap_mc_2"),
            "weights_bootstrap_mc_<i>: the numbers do not run from 0 to 4",
        ),
    ):
        change(foreign).to_parquet(tmp_path / "a.parquet")
        with pytest.raises(InputError, match=message):
            read_flat(tmp_path / "a.parquet", tmp_path / "u.parquet")
    foreign.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="no column z, which is said to be unfolded"):
        read_flat(tmp_path / "a.parquet", tmp_path / "u.parquet", observables=["z"])


def test_the_command_goes_both_ways(folder, foreign, tmp_path, capsys) -> None:
    assert main(["convert", str(folder), str(tmp_path / "flat")]) == 0
    assert main(["convert", str(tmp_path / "flat"), str(tmp_path / "again")]) == 0
    assert verify(tmp_path / "again")["fiducial"] == "all"
    assert "data_bootstrap (5)" in "".join(examine(tmp_path / "again"))
    foreign.to_parquet(tmp_path / "a.parquet")
    assert main(["convert", str(tmp_path / "a.parquet"), str(tmp_path / "new")]) == 1
    assert "--licence, --fiducial" in capsys.readouterr().err
    words = ["--licence", "CC0-1.0", "--fiducial", "pp to Z", "--observables", "m"]
    assert main(["convert", str(tmp_path / "a.parquet"), str(tmp_path / "new"), *words]) == 0
    assert "mean of the ensemble" in capsys.readouterr().out
    assert main(["convert", str(folder), str(tmp_path / "new")]) == 1
