"""A perfect surrogate passes; one without atoms, with fractions, of wrong categories or of wrong shape does not."""

from __future__ import annotations

import numpy as np
import pytest

from truthward.errors import InputError
from truthward.events.table import EventTable
from truthward.events.table_write import write_table
from truthward.records import read_record
from truthward.records.validate.surrogate import ValidatedSurrogate
from truthward.run.provenance import Record
from truthward.study.observable import Observable
from truthward.validate.method.stage import validate_method
from truthward.validate.surrogate import validate_surrogate
from truthward.validate.table import compare

OBSERVABLES = [
    Observable(name="z", range=(0.0, 0.5), bins=20, atoms=(0.0,)),
    Observable(name="M", range=(-0.5, 19.5), bins=20, integer=True),
]


def events(n: int, seed: int, *, atom: float = 0.1, fraction: float = 0.0, missed: float = 0.1, stretch: float = 1.0):
    """Columns of an event table: z with an atom at 0 (smeared away where `atom` is), M integer."""
    random = np.random.default_rng(seed)
    z = np.where(random.random(n) < atom, 0.0, random.beta(2, 3, n) * 0.5 * stretch)
    m = random.poisson(6.0, n) + np.where(random.random(n) < fraction, 0.5, 0.0)
    fake = random.random(n) < 0.05
    return {
        "truth_z": z,
        "truth_M": m,
        "reco_z": z,
        "reco_M": m,
        "pass_truth": ~fake,
        "pass_reco": fake | (random.random(n) >= missed),
        "weight": np.full(n, 2.0),
        "event_id": np.arange(n, dtype=np.uint64) + np.uint64(seed * 10**6),
    }


def table(path, columns):
    write_table(path, [columns], observables={}, role="simulation", selection={}, record=Record.for_tests())
    return path


def run(folder, sampled, *, members: int = 4, n: int = 6000, **changes):
    simulation = table(folder / "simulation.parquet", events(n, 1))
    size = len(sampled["weight"])
    samples = table(folder / "samples.parquet", sampled | {"member": np.arange(size, dtype=np.int32) % members})
    output = folder / "surrogate.json"
    options = {
        "seeds": 2,
        "epochs": 2,
        "events": 10**6,
        "seed": 1,
        "record": Record.for_tests(),
        "output": output,
    } | changes
    content = validate_surrogate(samples, simulation, OBSERVABLES, **options)
    assert read_record(output, ValidatedSurrogate) == content
    return content


def flagged(content):
    return {f["test"] for f in content["flags"]}


def test_a_perfect_surrogate_passes(tmp_path):
    content = run(tmp_path, events(6000, 2))
    assert content["flags"] == []
    assert content["members"] == 4
    z = content["levels"]["truth"]["z"]
    assert z["atoms"][0]["value"] == 0
    assert z["atoms"][0]["surrogate"] == pytest.approx(0.1, abs=0.02)
    assert z["atoms"][0]["simulation"] == pytest.approx(0.1, abs=0.03)
    assert len(z["triangular"]["members"]["values"]) == 4
    own = z["histogram"]
    assert sum(own["surrogate"]["sum"]) == pytest.approx(sum(own["simulation"]["sum"]))
    assert content["levels"]["reco"]["M"]["non_integer"] == 0
    assert set(content["categories"]) == {"signal/truth+reco", "signal/truth", "signal/reco"}
    assert sum(c["surrogate"] for c in content["categories"].values()) == pytest.approx(1)
    assert set(content["two_sample"]) == {"truth", "reco", "both"}
    held_out = int((EventTable(tmp_path / "simulation.parquet").read(["split"])["split"] == 2).sum())
    assert content["provenance"]["events_out"] == held_out


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        ({"atom": 0.0}, "atoms"),
        ({"fraction": 0.05}, "integers"),
        ({"missed": 0.25}, "categories"),
        ({"stretch": 0.8}, "triangular"),
        ({"stretch": 0.8}, "two_sample truth"),
    ],
)
def test_a_broken_surrogate_is_flagged(tmp_path, broken, test):
    content = run(tmp_path, events(6000, 2, **broken), epochs=6 if "two" in test else 1)
    assert test in flagged(content)


def test_members_that_disagree_state_a_larger_error(tmp_path):
    shares = [events(1500, 10 + m, stretch=1 + 0.05 * (m - 1.5)) for m in range(4)]
    sampled = {name: np.stack([s[name] for s in shares], axis=1).ravel() for name in shares[0]}
    found = run(tmp_path, sampled, epochs=1)["levels"]["truth"]["z"]["histogram"]
    even = run(tmp_path, events(6000, 2), epochs=1)["levels"]["truth"]["z"]["histogram"]
    assert np.mean(found["surrogate"]["error"]) > 1.2 * np.mean(even["surrogate"]["error"])


def test_nothing_held_out_is_refused(tmp_path):
    simulation = table(tmp_path / "s.parquet", events(50, 1) | {"split": np.zeros(50, dtype=np.uint8)})
    options = {
        "seeds": 2,
        "epochs": 1,
        "events": 10**6,
        "seed": 1,
        "record": Record.for_tests(),
        "output": tmp_path / "o.json",
    }
    with pytest.raises(InputError, match="test split"):
        validate_surrogate(simulation, simulation, OBSERVABLES, **options)
    assert not (tmp_path / "o.json").exists()


def test_the_table_lists_surrogates(tmp_path, study, observables):
    run(tmp_path, events(6000, 2), epochs=1)
    data, truth = study.data(n=800)
    validate_method(
        study.unfolded(truth),
        simulation=study.simulation(n=800),
        data=data,
        closure_truth=None,
        observables=observables,
        seeds=2,
        epochs=1,
        events=10**6,
        seed=1,
        record=Record.for_tests(),
        output=tmp_path / "m.json",
    )
    out = {f"output_{e}": tmp_path / f"methods.{e}" for e in ("json", "csv", "md")}
    surrogates = {"flow": tmp_path / "surrogate.json"}
    content = compare({"toy": tmp_path / "m.json"}, surrogates=surrogates, record=Record.for_tests(), **out)
    assert content["surrogates"][0]["triangular_truth"]["z"]["spread"] > 0
    assert "Surrogate flow" in out["output_md"].read_text()


def test_more_events_than_are_used_keep_their_yield(tmp_path):
    whole = run(tmp_path, events(6000, 2), epochs=1)
    content = run(tmp_path, events(6000, 2), epochs=1, events=1000)
    assert content["used"] == {n: {"events": e["events"], "used": 1000} for n, e in whole["used"].items()}
    assert content["flags"] == []
    for level in ("truth", "reco"):
        found, expected = (sum(c["levels"][level]["z"]["histogram"]["simulation"]["sum"]) for c in (content, whole))
        assert found == pytest.approx(expected, rel=0.05)
    assert content["two_sample"]["both"]["surrogate"]["effective_sizes"][0] < 1000
    assert content["provenance"]["events_out"] == whole["provenance"]["events_out"]
