"""HEPData's own validator takes the submission, with the words of the config and a figure of each table."""

from __future__ import annotations

import struct
import warnings

import pytest
import yaml

from tests.publish.test_hepdata import DECLARED, WORDS, sample
from truthward.publish.hepdata import FOLDER, write_tables
from truthward.publish.section import Hepdata
from truthward.report.tables import draw_table

with warnings.catch_warnings():
    # It uses a part of jsonschema that will go away.
    warnings.simplefilter("ignore", DeprecationWarning)
    from hepdata_validator.full_submission_validator import FullSubmissionValidator

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")

SAID = Hepdata.model_validate(
    {
        "reactions": ["P P --> Z0 JET X"],
        "energies": [13000],
        "phrases": ["Jet substructure"],
        "qualifiers": {"ABS(ETARAP(JET))": "< 3"},
    }
)


@pytest.fixture(scope="module", params=["joint", "each"])
def submission(request, tmp_path_factory):
    """The folder of a submission with words and figures, and the files that were written."""
    folder = tmp_path_factory.mktemp(request.param)
    unfolded = sample(folder / "u.parquet", joint=request.param == "joint")
    options = {"luminosity": 2.5, "model": ["systematic:scale"], "words": SAID.model_dump(), "draw": draw_table}
    names = write_tables(folder, unfolded, DECLARED, **options, **WORDS)
    return folder / FOLDER, names


def test_the_validator_of_hepdata_takes_it(submission) -> None:
    folder, names = submission
    validator = FullSubmissionValidator(autoload_remote_schemas=False)
    assert validator.validate(directory=str(folder)), validator.get_messages()
    assert sorted(f"{FOLDER}/{p.name}" for p in folder.iterdir()) == sorted(names)


def test_the_validator_would_find_a_mistake(submission, tmp_path) -> None:
    folder, _ = submission
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "thumb_1_m.png").unlink()
    validator = FullSubmissionValidator(autoload_remote_schemas=False)
    assert not validator.validate(directory=str(tmp_path))


def test_keywords_and_qualifiers_are_those_of_the_config(submission) -> None:
    folder, _ = submission
    _, *entries = yaml.safe_load_all((folder / "submission.yaml").read_text())
    for entry in entries:
        words = {k["name"]: k["values"] for k in entry["keywords"]}
        assert words["reactions"] == ["P P --> Z0 JET X"]
        assert words["cmenergies"] == [13000.0]
        assert words["phrases"][-1] == "Jet substructure"
        (table,) = yaml.safe_load_all((folder / entry["data_file"]).read_text())
        for column in table["dependent_variables"]:
            found = {q["name"]: q["value"] for q in column["qualifiers"]}
            assert found["RE"] == "P P --> Z0 JET X"
            assert found["SQRT(S)"] == 13000.0
            assert found["ABS(ETARAP(JET))"] == "< 3"


def test_each_table_but_the_total_has_a_figure_and_a_thumbnail(submission) -> None:
    folder, _ = submission
    _, first, *entries = yaml.safe_load_all((folder / "submission.yaml").read_text())
    assert "additional_resources" not in first
    for entry in entries:
        stem = entry["data_file"].removesuffix(".yaml")
        found = [r["location"] for r in entry["additional_resources"]]
        assert found == [f"{stem}.png", f"thumb_{stem}.png"]
        large, small = (struct.unpack(">II", (folder / name).read_bytes()[16:24]) for name in found)
        assert large[0] > 600 > 250 > small[0]


def test_a_label_that_is_no_mathematics_is_drawn_as_text(tmp_path) -> None:
    rows = [{"low": 0.0, "high": 1.0}, {"low": 1.0, "high": 3.0}]
    values = [{"value": 1.0, "errors": [{"symerror": 0.1, "label": "stat"}]}, {"value": 2.0}]
    header = {"name": r"$\nothing{$", "units": "GeV"}
    content = {
        "independent_variables": [{"header": header, "values": rows}],
        "dependent_variables": [{"header": header, "values": values}],
    }
    for k in range(2):
        assert draw_table(content, tmp_path / f"{k}.png", tmp_path / f"thumb_{k}.png")
    assert (tmp_path / "0.png").read_bytes() == (tmp_path / "1.png").read_bytes()
    content["independent_variables"][0]["values"] = [{"value": "a"}, {"value": "b"}]
    assert not draw_table(content, tmp_path / "none.png", tmp_path / "thumb_none.png")


def test_words_that_hepdata_would_refuse_are_refused_in_the_config() -> None:
    with pytest.raises(ValueError, match="HEPData takes 128 at most"):
        Hepdata.model_validate({"phrases": ["a" * 129]})
