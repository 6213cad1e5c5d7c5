"""`truthward compare` prints a table, writes its files, and compares nothing with a damaged publication."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.compare import toys
from truthward.cli.main import main
from truthward.records import read_record
from truthward.records.compare import Comparison


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A publication of a toy."""
    return toys.publication(tmp_path_factory.mktemp("toy"), 5, data=800, simulation=2000, replicas=20)


@pytest.fixture
def truth(tmp_path) -> Path:
    """Events of the truth."""
    values = toys.truth(2000, np.random.default_rng(1))
    pd.DataFrame({n: values[:, i] for i, n in enumerate(toys.NAMES)}).to_parquet(tmp_path / "truth.parquet")
    return tmp_path / "truth.parquet"


def test_table_json_and_figures(folder, truth, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert main(["compare", str(folder), f"Good one={truth}", str(truth), "--output", str(out)]) == 0
    said = capsys.readouterr().out
    for word in ("Good one", "truth", "all observables", "unbinned, AUC", "shapes"):
        assert word in said
    found = read_record(out / "comparison.json", Comparison)
    assert list(found["predictions"]) == ["Good one", "truth"]
    one, other = (found["predictions"][n]["unbinned"][0]["p"] for n in ("Good one", "truth"))
    assert one == other, "the label changes nothing"
    assert {p.name for p in out.iterdir()} == {"comparison.json", "comparison.png", "comparison.pdf"}
    assert (out / "comparison.pdf").read_bytes().startswith(b"%PDF")


def test_some_observables_and_yields(folder, truth, tmp_path, capsys) -> None:
    words = [str(folder), str(truth), "--observables", "y", "--absolute", "--output", str(tmp_path / "out")]
    assert main(["compare", *words]) == 0
    assert "yield, ratio" in capsys.readouterr().out
    found = read_record(tmp_path / "out" / "comparison.json", Comparison)
    assert list(found["observables"]) == ["y"]
    assert "there is one observable" in found["predictions"]["truth"]["joint"]["chi2"]["reason"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--observables", "z"], "z was not unfolded; "),
        (["nowhere.root"], "nowhere.root: no such file"),
    ],
)
def test_what_is_wrong_is_said(folder, truth, tmp_path, words, said, capsys) -> None:
    assert main(["compare", str(folder), str(truth), *words, "--output", str(tmp_path / "out")]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_damaged_publication_is_not_compared(folder, truth, tmp_path, capsys) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    content = bytearray((copy / "events.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "events.parquet").write_bytes(content)
    assert main(["compare", str(copy), str(truth), "--output", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith("CorruptError: ")
