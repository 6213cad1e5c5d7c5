"""The sum of generator weights: of branches and histograms of all files; what cannot be one is refused by name."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot

from truthward.errors import InputError
from truthward.events.generator_weights import sum_of_weights
from truthward.run.files import File
from truthward.study.normalisation import GeneratorWeights


@pytest.fixture
def files(tmp_path):
    """Two files with the trees Events and Runs, and histograms."""
    paths = []
    for number in (1, 2):
        paths.append(tmp_path / f"{number}.root")
        with uproot.recreate(paths[-1]) as file:
            file.mktree("Events", {"genWeight": "float32"}).extend({"genWeight": np.ones(5, np.float32)})
            runs = {"genEventSumw": [10.5 * number, 100.0], "zero": [1.0, -1.0], "bad": [np.nan, 1.0]}
            types = dict.fromkeys(runs, "float64") | {"pdf": "var * float64"}
            lists = {"npdf": np.array([1, 2], np.int32), "pdf": ak.Array([[1.0], [1.0, 2.0]])}
            file.mktree("Runs", types).extend({n: np.array(v) for n, v in runs.items()} | lists)
            file["sumw"] = (np.array([5.0, 40.0 * number, 1.0]), np.arange(4.0))
            file["cut/plane"] = (np.ones((2, 2)), np.arange(3.0), np.arange(3.0))
            file["over"] = uproot.writing.identify.to_TH1x(
                "over", "", np.array([1.0, 2.0, 3.0, 4.0]), 3, 0, 0, 0, 0, np.ones(4),
                uproot.writing.identify.to_TAxis("fXaxis", "", 2, 0, 2),
            )  # fmt: skip
    return paths


def found(paths, **source):
    return sum_of_weights([File(str(path)) for path in paths], GeneratorWeights.model_validate(source).model_dump())


def test_sums_are_over_all_entries_and_files(files) -> None:
    assert found(files, tree="Runs", branch="genEventSumw") == 10.5 + 21 + 200
    assert found(files, histogram="sumw", bin=2) == 40 + 80
    assert found(files, histogram="sumw") == 12 + 40 + 80
    assert found(files, histogram="over", bin=1) == 4
    assert found([], sum=1.5) == 1.5


def test_a_number_may_be_written_as_text_or_alone() -> None:
    # YAML reads an exponent without a sign as text.
    for given in (1.23e9, "1.23e9", {"sum": "1.23e9"}):
        assert GeneratorWeights.model_validate(given).sum == 1.23e9


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"tree": "Rums", "branch": "genEventSumw"}, "1.root: no tree Rums; nearest names: Runs"),
        ({"branch": "genEventSumw"}, "has 2 trees: Events, Runs; say which in `tree`"),
        ({"tree": "Runs", "branch": "genEventSum"}, "no branch genEventSum, needed for the sum of generator weights;"),
        ({"tree": "Runs", "branch": "pdf"}, "pdf has not one number per entry of Runs"),
        ({"tree": "Runs", "branch": "zero"}, "zero sums to 0 in 2 files, but a sum of generator weights is positive"),
        ({"tree": "Runs", "branch": "bad"}, "bad sums to nan in 2 files"),
        ({"histogram": "sum"}, "no histogram sum with one axis; nearest names: sumw"),
        ({"histogram": "cut/plane"}, "no histogram cut/plane with one axis"),
        ({"histogram": "sumw", "bin": 4}, "sumw has no bin 4; its bins are 1 to 3"),
        ({"histogram": "over"}, "over has 1 below and 4 above its range"),
    ],
)
def test_what_is_no_sum_is_refused(files, source, said) -> None:
    with pytest.raises(InputError, match="generator_weights: ") as error:
        found(files, **source)
    assert said in str(error.value)


def test_a_file_without_the_tree_is_named(files, tmp_path) -> None:
    with uproot.recreate(tmp_path / "skim.root") as file:
        file.mktree("Events", {"x": "float32"}).extend({"x": np.ones(1, np.float32)})
    with pytest.raises(InputError, match=r"skim\.root: no tree Runs"):
        found([*files, tmp_path / "skim.root"], tree="Runs", branch="genEventSumw")
