"""The publication stands by itself: a stranger's script reads it, and a damaged one is found out."""

from __future__ import annotations

import ast
import csv
import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from truthward.errors import ConfigError, CorruptError, InputError, VerdictError
from truthward.events.unfolded import Unfolded, family, weight_columns, write_unfolded
from truthward.publish.example import choose_example
from truthward.publish.stage import FILES, SUMS, publish, verify
from truthward.run.provenance import Record
from truthward.study.observable import Observable

STOPPING = {"rule": "change", "tolerance": 0.2, "chosen": 4, "largest": 9, "limits": "finer bins go unseen"}
STOPPED = "- **Iterations**: 4 of at most 9, by the rule `change` with tolerance 0.2; finer bins go unseen."
VERDICT = {"verdict": "warnings", "reasons": ["one | thing", "`another`"], "without_truth": True}
FAMILIES = {"data_bootstrap": family("data_bootstrap", 8), "systematic:scale": family("systematic:scale", 2)}
OBSERVABLES = [
    Observable(name="m", label="$m$", unit="GeV", range=(0.0, 80.0)),
    Observable(name="jet_pt", label=r"$p_{\mathrm{T}}$", unit=r"$\mathrm{GeV}$", range=(0.0, 800.0)),
]


@pytest.fixture
def unfolded(tmp_path):
    """A joint sample of m with jet_pt carried along, in two row groups."""
    random = np.random.default_rng(1)
    batches = []
    for start in (0, 700):
        columns = {"truth_m": random.gamma(4, 5, 700), "truth_jet_pt": 200 + random.exponential(60, 700)}
        columns["truth_z_pt"] = columns["truth_jet_pt"] + 5
        columns |= {"event_id": np.arange(start, start + 700), "split": np.zeros(700)}
        columns |= {name: random.gamma(2, 0.5, 700) for name in weight_columns(FAMILIES)}
        batches.append(columns)
    path = tmp_path / "unfolded.parquet"
    common = {"method": "omnifold", "kind": "omnifold", "history": [{"iteration": 0, "loss": 0.6}], "iterations": 4}
    common |= {"observables": ["m"], "joint": True, "families": FAMILIES, "extra": {"stopping": STOPPING}}
    write_unfolded(path, batches, record=Record.for_tests(), **common)
    return path


def run(path, directory, **changes):
    """`publish` with defaults."""
    options = {
        "verdict": VERDICT,
        "study": "zjets",
        "licence": "CC-BY-4.0",
        "fiducial": "pT(jet) > 200 GeV",
        "observables": OBSERVABLES,
    }
    publish(path, directory=directory, record=Record.for_tests(), **(options | {"example": "jet_pt"} | changes))
    return directory


@pytest.mark.parametrize("stated", ["particles with c tau > 10 mm are stable", None])
def test_states_the_particle_level(unfolded, tmp_path, stated):
    """In the metadata for machines and in the README for people; where it is unknown, that is said."""
    folder = run(unfolded, tmp_path / "publication", particle_level=stated)
    assert verify(folder)["particle_level"] == stated
    line = next(s for s in (folder / "README.md").read_text().splitlines() if s.startswith("- **Particle level**"))
    assert line.endswith(stated) if stated else "not stated" in line


def test_holds_all_that_it_lists(unfolded, tmp_path):
    folder = run(unfolded, tmp_path / "results" / "publication")
    assert sorted(p.name for p in folder.iterdir()) == sorted([*FILES, SUMS, "hepdata"])
    assert [p.name for p in folder.parent.iterdir()] == ["publication"]
    metadata = verify(folder)
    events = pq.read_table(folder / "events.parquet")
    assert metadata["events"] == events.num_rows == 1400
    assert metadata["normalisation"]["sum_of_weights"]["weight"] == pytest.approx(np.sum(events["weight"].to_numpy()))
    assert "split" not in events.column_names
    for entry in metadata["columns"]:
        first, last = entry.get("indices", [0, 0])
        for index in range(first, last + 1):
            assert entry["name"].replace("<index>", str(index)) in events.column_names
    truth = {c["name"]: c for c in metadata["columns"] if c["role"] == "truth"}
    assert truth["truth_m"]["unit"] == "GeV"
    assert truth["truth_m"]["unfolded"] is True
    assert truth["truth_jet_pt"]["unfolded"] is False
    assert truth["truth_z_pt"]["unit"] == "GeV"
    assert metadata["families"]["data_bootstrap"]["count"] == 8
    assert metadata["licence"] == "CC-BY-4.0"
    assert metadata["method"]["iterations"] == 4
    assert metadata["method"]["stopping"] == STOPPING
    assert metadata["provenance"]["unfolding"]["events_out"] == 1400
    text = (folder / "README.md").read_text()
    for words in (
        "CC-BY-4.0",
        "pT(jet) > 200 GeV",
        "2504.14072",
        "2109.13243",
        "R - 1",
        "`systematic:scale`",
        "explore.html",
        STOPPED,
    ):
        assert words in text


@pytest.mark.parametrize("verdict", ["good", "warnings", "failed"])
@pytest.mark.parametrize("require", ["good", "warnings", "none"])
def test_a_verdict_that_does_not_reach_what_is_required_is_not_published(unfolded, tmp_path, verdict, require):
    folder, found = tmp_path / "publication", VERDICT | {"verdict": verdict}
    order = ["none", "warnings", "good"]
    if order.index(require) > {"failed": 0, "warnings": 1, "good": 2}[verdict]:
        run(unfolded, folder, require="none", study="before")
        with pytest.raises(
            VerdictError, match=f"omnifold: not published, because its verdict is {verdict} .* one . thing; "
        ):
            run(unfolded, folder, verdict=found, require=require)
        assert verify(folder)["study"] == "before"
    else:
        metadata = verify(run(unfolded, folder, verdict=found, require=require))
        assert metadata["verdict"] == found


def test_readme_and_metadata_say_the_verdict_and_what_is_in_the_errors(unfolded, tmp_path):
    folder = run(unfolded, tmp_path / "publication")
    text = (folder / "README.md").read_text()
    assert (
        "- **Verdict**: warnings: one | thing; &#96;another&#96;; judged without the truth, which is not known" in text
    )
    assert "- **Errors and bands**: statistical and scale uncertainty only" in text
    assert verify(folder)["uncertainty"] == "statistical and scale uncertainty only"
    again = run(unfolded, tmp_path / "again", model=["systematic:scale"])
    assert "- **Errors and bands**: total uncertainty" in (again / "README.md").read_text()


def test_published_events_are_still_an_unfolded_sample(unfolded, tmp_path):
    folder = run(unfolded, tmp_path / "publication")
    edges = np.linspace(0, 60, 5)
    before, after = (Unfolded(p).histogram("m", edges) for p in (unfolded, folder / "events.parquet"))
    assert np.array_equal(before.nominal, after.nominal)
    assert np.array_equal(before.sigma, after.sigma)


def test_the_range_of_the_example_is_that_of_nominal_events(tmp_path):
    """Of draws in blocks, the first of which is a replica's: its rows have no nominal weight."""
    random = np.random.default_rng(2)
    families = {"data_bootstrap": family("data_bootstrap", 8)}
    columns = {name: np.zeros(500) for name in weight_columns(families)}
    rows = {"truth_m": random.gamma(4, 5, 500), "event_id": np.arange(500)}
    replicas = (
        {**rows, "truth_jet_pt": np.full(500, 9e4)} | columns | {n: np.ones(500) for n in columns if n != "weight"}
    )
    nominal = {**rows, "truth_jet_pt": random.uniform(200, 300, 500)} | columns | {"weight": np.ones(500)}
    options = {"method": "drawn", "kind": "generative", "history": [], "iterations": 1, "observables": ["m"]}
    declared = {o.name: o for o in OBSERVABLES}
    path = tmp_path / "drawn.parquet"
    write_unfolded(path, [replicas, nominal], joint=True, families=families, record=Record.for_tests(), **options)
    example = choose_example(Unfolded(path), "jet_pt", declared)
    assert (example.low, example.high) == (pytest.approx(200, abs=10), pytest.approx(300, abs=10))


@pytest.mark.parametrize("cut", [150.0, 163.0])
def test_the_example_begins_at_the_cut_of_the_fiducial_region(tmp_path, cut):
    """A first bin that reaches beyond would be partly empty."""
    random, n = np.random.default_rng(3), 4000
    columns = {"truth_m": random.gamma(4, 5, n), "truth_jet_pt": cut + random.exponential(90, n)}
    columns |= {"event_id": np.arange(n), "weight": np.ones(n)}
    options = {"method": "any", "kind": "any", "history": [], "iterations": 1, "observables": ["m"], "families": {}}
    write_unfolded(tmp_path / "u.parquet", [columns], joint=True, record=Record.for_tests(), **options)
    example = choose_example(Unfolded(tmp_path / "u.parquet"), "jet_pt", {o.name: o for o in OBSERVABLES})
    assert cut - 0.005 * (example.high - example.low) <= example.low <= columns["truth_jet_pt"].min()


@pytest.mark.parametrize("example", ["jet_pt", "sqrt(m ** 2 + jet_pt ** 2) / -jet_pt"])
def test_example_runs_alone_and_agrees_with_the_package(unfolded, tmp_path, example):
    label = {"experiment": "ATLAS", "energy": r"$\no{thing$ 13 TeV", "luminosity": "140 fb$^{-1}$"}
    folder = run(unfolded, tmp_path / "publication", example=example, label=label)
    script = (folder / "example.py").read_text()
    assert "truthward" not in script
    (title,) = (line for line in script.splitlines() if line.startswith("TITLE = "))
    assert ast.literal_eval(title.removeprefix("TITLE = ")) == r"ATLAS   140 fb$^{-1}$   $\no{thing$ 13 TeV"
    work = tmp_path / "work"
    work.mkdir()
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MPLBACKEND")}
    command = [sys.executable, "-W", "error", str(folder / "example.py")]
    subprocess.run(command, cwd=work, env=kept, check=True, capture_output=True, timeout=120)
    assert (work / "example.png").stat().st_size > 10_000
    rows = list(csv.DictReader((work / "example.csv").open()))
    edges = np.array([float(r["low"]) for r in rows] + [float(rows[-1]["high"])])

    def derived(t):
        return np.sqrt(t["m"] ** 2 + t["jet_pt"] ** 2) / -t["jet_pt"]

    expected = Unfolded(unfolded).histogram("jet_pt" if example == "jet_pt" else derived, edges)
    assert expected.nominal.sum() > 0.9 * Unfolded(unfolded).weights()[0].sum(), "the range must hold the bulk"
    assert np.allclose([float(r["events"]) for r in rows], expected.nominal, rtol=1e-6)
    assert np.allclose([float(r["sigma"]) for r in rows], expected.sigma, rtol=1e-5)
    assert np.allclose(
        [float(r["sigma systematic:scale"]) ** 2 for r in rows], expected.breakdown()["systematic:scale"]
    )
    matrix = np.loadtxt(work / "example_covariance.csv", delimiter=",")
    with pytest.warns(UserWarning, match="rank"):
        assert np.allclose(matrix, expected.covariance(), rtol=1e-5, atol=1e-6)


def test_without_an_example_the_first_unfolded_observable_is_shown(unfolded, tmp_path):
    folder = run(unfolded, tmp_path / "publication", example=None)
    work = tmp_path / "work"
    work.mkdir()
    command = [sys.executable, "-W", "error", str(folder / "example.py")]
    subprocess.run(command, cwd=work, check=True, capture_output=True, timeout=120)
    rows = list(csv.DictReader((work / "example.csv").open()))
    edges = np.array([float(r["low"]) for r in rows] + [float(rows[-1]["high"])])
    expected = Unfolded(unfolded).histogram("m", edges)
    assert np.allclose([float(r["events"]) for r in rows], expected.nominal, rtol=1e-6)
    assert "istograms m with its covariance" in (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ("m", "m is unfolded itself.*jet_pt, z_pt"),
        ("jet_pt / mass", "no observable mass; there are: jet_pt, m"),
        ("jet_pt +", "not an expression"),
        ("eval(m)", "no function eval"),
        ("jet_pt + 9**9**9**9", "an exponent must be a number"),
        ("jet_pt << 10**10", "not allowed"),
        ("jet_pt > 200", "not allowed"),
        ("m.real", r"'m\.real' is not allowed"),
        ("[m for m in (1,)]", "not allowed"),
        ("'m'", "not allowed"),
        ("1 + 1", "no observable"),
    ],
)
def test_bad_examples_are_refused_and_leave_nothing(unfolded, tmp_path, example, message):
    with pytest.raises(ConfigError, match=message):
        run(unfolded, tmp_path / "publication", example=example)
    assert not (tmp_path / "publication").exists()


def test_example_that_is_not_finite_is_refused(unfolded, tmp_path):
    with pytest.raises(InputError, match="not finite for"):
        run(unfolded, tmp_path / "publication", example="log(m - 10)")


def test_an_older_publication_stays_until_the_new_one_is_whole(unfolded, tmp_path):
    folder = run(unfolded, tmp_path / "out" / "publication")
    (folder / "leftover.txt").write_text("from before")
    with pytest.raises(ConfigError):
        run(unfolded, folder, example="m")
    (tmp_path / "broken.parquet").write_bytes(unfolded.read_bytes()[:3000])
    with pytest.raises(CorruptError):
        run(tmp_path / "broken.parquet", folder)
    assert verify(folder)["study"] == "zjets"
    run(unfolded, folder, study="second")
    assert verify(folder)["study"] == "second"
    assert not (folder / "leftover.txt").exists()
    assert [p.name for p in folder.parent.iterdir()] == ["publication"]


@pytest.mark.parametrize("name", [*FILES, "hepdata/1_m_covariance.yaml"])
def test_corruption_is_detected(unfolded, tmp_path, name):
    folder = run(unfolded, tmp_path / "publication")
    verify(folder)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(CorruptError, match=name):
        verify(folder)
    (folder / name).unlink()
    with pytest.raises(CorruptError, match=f"{name}: missing"):
        verify(folder)


def test_a_file_that_left_the_list_is_missed(unfolded, tmp_path):
    folder = run(unfolded, tmp_path / "publication")
    lines = (folder / SUMS).read_text().splitlines(keepends=True)
    (folder / SUMS).write_text("".join(line for line in lines if "1_m.yaml" not in line))
    with pytest.raises(CorruptError, match=r"another checksum of hepdata/1_m\.yaml"):
        verify(folder)


def test_an_older_publication_without_a_page_is_whole(unfolded, tmp_path):
    """A page that is not listed is not missed; one that is listed is, see `test_corruption_is_detected`."""
    folder = run(unfolded, tmp_path / "publication")
    (folder / "explore.html").unlink()
    metadata = json.loads((folder / "metadata.json").read_text())
    del metadata["files"]["explore.html"]
    (folder / "metadata.json").write_text(json.dumps(metadata))
    lines = (folder / SUMS).read_text().splitlines(keepends=True)
    kept = [line for line in lines if "explore.html" not in line and "metadata.json" not in line]
    digest = hashlib.sha256((folder / "metadata.json").read_bytes()).hexdigest()
    (folder / SUMS).write_text("".join([*kept, f"{digest}  metadata.json\n"]))
    assert verify(folder)["study"] == "zjets"


def test_verify_needs_a_publication(tmp_path):
    with pytest.raises(InputError, match="no publication here"):
        verify(tmp_path)


def test_observable_by_observable_method_shows_what_it_has(tmp_path):
    boot = {"data_bootstrap": family("data_bootstrap", 3)}
    random = np.random.default_rng(2)
    columns = {"truth_m": random.random(50), "truth_jet_pt": random.random(50), "event_id": np.arange(50)}
    columns |= {name: random.random(50) for name in weight_columns(boot, "m")}
    path = tmp_path / "u.parquet"
    common = {"method": "ibu", "kind": "ibu", "history": [], "observables": ["m"], "record": Record.for_tests()}
    write_unfolded(path, [columns], joint=False, families=boot, **common)
    folder = run(path, tmp_path / "publication")
    metadata = verify(folder)
    assert metadata["normalisation"]["sum_of_weights"].keys() == {"weight:m"}
    assert any("weights of its own" in caveat for caveat in metadata["caveats"])
    assert "replica:m:data_bootstrap:<index>" in {c["name"] for c in metadata["columns"]}
    command = [sys.executable, "-W", "error", str(folder / "example.py")]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    assert (tmp_path / "example.csv").read_text().count("\n") == 11


def test_equal_input_gives_equal_events(unfolded, tmp_path):
    one, two = (verify(run(unfolded, tmp_path / name))["files"] for name in "ab")
    assert one == two
    assert json.loads((tmp_path / "a" / "metadata.json").read_text())["format_version"] == "1.1"


def test_what_the_config_says_is_text_and_never_code(unfolded, tmp_path):
    clean = run(unfolded, tmp_path / "clean")
    evil = '"""\n<script>alert(1)</script> [here](javascript:alert(1)) `x` | y\n# Title {0} $study \\'
    label = "$\\nothing{$ " + evil
    observables = [o.model_copy(update={"label": label, "unit": label}) for o in OBSERVABLES]
    folder = run(
        unfolded,
        tmp_path / "publication",
        licence=evil,
        fiducial=evil,
        observables=observables,
        example='jet_pt  # """; raise SystemExit(7) #',
    )
    readme = (folder / "README.md").read_text()
    assert "&lt;script>alert(1)&lt;/script> [here]&#40;javascript" in readme
    for markup in ("<script", "](", "`x`", "\n# Title"):
        assert markup not in readme
    assert len(readme.splitlines()) == len((clean / "README.md").read_text().splitlines())
    assert verify(folder)["licence"] == evil
    submission = list(yaml.safe_load_all((folder / "hepdata" / "submission.yaml").read_text()))
    assert evil in submission[0]["comment"]

    def statements(path):
        return [type(node) for node in ast.walk(ast.parse((path / "example.py").read_text()))]

    assert statements(folder) == statements(clean)
    command = [sys.executable, str(folder / "example.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "example.png").is_file()
