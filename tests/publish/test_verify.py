"""A publication is what it says, its schema is that of its record, and pandas alone can read it."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig

import jsonschema
import numpy as np
import pytest

from tests.compare import toys
from truthward.errors import CorruptError, InputError
from truthward.publish import texts
from truthward.publish.verify import SCHEMA, SUMS, examine, schema, verify
from truthward.run.artefact import sha256, write_json


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return toys.publication(tmp_path_factory.mktemp("toy"), 1, data=300, simulation=600, replicas=5)


@pytest.fixture
def edit(made, tmp_path):
    """A function that changes the metadata of a copy, checksums included, and gives its folder."""

    def changed(change) -> object:
        folder = tmp_path / "copy"
        subprocess.run(["cp", "-r", str(made), str(folder)], check=True)
        metadata = json.loads((folder / "metadata.json").read_text())
        change(metadata)
        write_json(folder / "metadata.json", metadata)
        lines = (folder / SUMS).read_text().splitlines()
        digest = sha256(folder / "metadata.json")
        lines = [f"{digest}  metadata.json" if line.endswith("  metadata.json") else line for line in lines]
        (folder / SUMS).write_text("\n".join(lines) + "\n")
        verify(folder)
        return folder

    return changed


def test_what_is_stated_is_examined(made) -> None:
    verify(made)
    said = "\n".join(examine(made))
    for words in ("format: 1.1; all fields", "events: 600", "data_bootstrap (5)", "coverage: not measured"):
        assert words in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(events=601), "601 events are stated, events.parquet has 600"),
        (
            lambda m: m["families"]["mc_bootstrap"].update(ddof=0),
            "the family mc_bootstrap is not as events.parquet has it",
        ),
        (lambda m: m["families"].pop("systematic:shift"), "the family systematic:shift is not"),
        (lambda m: m["columns"].append({"name": "truth_z", "role": "truth", "type": "float32"}), "the column truth_z"),
        (lambda m: m["normalisation"]["sum_of_weights"].update(weight=1.0), "weight is stated to sum to 1"),
        (lambda m: m.pop("licence"), "licence is missing"),
        (lambda m: m.update(extra=1), "extra is not a field"),
    ],
)
def test_what_is_not_as_stated_is_found(edit, change, message) -> None:
    with pytest.raises(CorruptError, match=message):
        examine(edit(change))


def test_a_newer_format_is_refused_or_read_without_its_schema(edit) -> None:
    folder = edit(lambda m: m.update(format_version="1.9", novelty=1))
    assert "format: 1.9; its fields are not checked" in examine(folder)[0]
    metadata = json.loads((folder / "metadata.json").read_text()) | {"format_version": "2.0"}
    write_json(folder / "metadata.json", metadata)
    with pytest.raises(InputError, match=r"2\.0 found, truthward publication 1\.1 is read"):
        examine(folder)


def test_a_publication_without_the_coverage_of_later_formats_is_read(edit) -> None:
    folder = edit(lambda m: (m.update(format_version="1.0"), m.pop("coverage")))
    assert examine(folder)[-1] == "coverage: not stated"


def test_the_schema_is_that_of_the_record_in_the_docs_and_in_the_publication(made, root) -> None:
    """`make schema` writes the first of them again."""
    for path in (root / "docs" / "assets" / "publication.schema.json", made / SCHEMA):
        assert json.loads(path.read_text()) == schema(), path
    metadata = json.loads((made / "metadata.json").read_text())
    validator = jsonschema.Draft202012Validator(schema())
    validator.check_schema(schema())
    assert list(validator.iter_errors(metadata)) == []
    assert list(validator.iter_errors(metadata | {"events": "many"}))


def test_coverage_is_counted_where_the_truth_is_known() -> None:
    assert texts.coverage([]) == texts.NO_COVERAGE
    assert "50% of 2 coarse bins" in texts.coverage([0.3, 2.0])


ALONE = """
import sys
sys.path += {paths!r}
try:
    import truthward
except ImportError:
    pass
else:
    sys.exit("truthward is here")
import json
import numpy as np
import pandas as pd

events = pd.read_parquet("events.parquet")
families = json.load(open("metadata.json"))["families"]
edges = np.linspace(-2, 2, 5)

def fill(weight):
    return np.histogram(events["truth_x"], edges, weights=events[weight])[0]

nominal, covariance = fill("weight"), 0
for name, f in families.items():
    h = np.array([fill(f"replica:{{name}}:{{i}}") for i in range(f["count"])])
    away = h - (h.mean(axis=0) if f["centre"] == "mean" else nominal)
    covariance = covariance + away.T @ away / (f["count"] - f["ddof"])
print(json.dumps([nominal.tolist(), np.sqrt(np.diag(covariance)).tolist()]))
"""


def test_pandas_alone_reads_it(made) -> None:
    """In a Python that has no truthward: without the .pth files of its packages."""
    paths = sorted({sysconfig.get_path(name) for name in ("purelib", "platlib")})
    command = [sys.executable, "-I", "-S", "-c", ALONE.format(paths=paths)]
    done = subprocess.run(command, cwd=made, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    from truthward.events.unfolded import Unfolded

    expected = Unfolded(made / "events.parquet").histogram("x", np.linspace(-2, 2, 5))
    nominal, sigma = json.loads(done.stdout)
    assert nominal == pytest.approx(expected.nominal)
    assert sigma == pytest.approx(expected.sigma, rel=1e-5)
