"""Amplification: the arithmetic against known answers, controls that must not amplify, the statement in the sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from truthward.amplify.spread import member_covariance
from truthward.amplify.stage import amplify_stage, draw_chunk, gather_chunks
from truthward.amplify.study import amplification_curve, amplification_study, bootstraps, study_stage
from truthward.amplify.target import ModulatedRing, Regions
from truthward.amplify.worth import predicted_mse, worth
from truthward.errors import IncompleteError, InputError
from truthward.events.families import RankWarning
from truthward.events.table import EventTable
from truthward.events.table_write import write_table
from truthward.records import read_record
from truthward.records.amplify import AmplifySummary
from truthward.run.provenance import Record
from truthward.study.generative_members import Uncertainty
from truthward.study.observable import Observable
from truthward.surrogate.stage import surrogate_stage

RING = ModulatedRing()
REGIONS = Regions(RING)
SETS, EVENTS, MEMBERS = 12, 400, 4


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def truth(events: int, g: torch.Generator) -> torch.Tensor:
    return RING.sample(SETS * MEMBERS * events, g).reshape(SETS * MEMBERS, events, 2)


def curve(draw, multiples=(1.0, 10.0), seed: int = 2):
    return amplification_curve(draw, REGIONS, SETS, EVENTS, multiples, seed=seed)


def test_regions_have_their_exact_probabilities():
    p = REGIONS.probabilities()
    assert float(p.sum()) == pytest.approx(1.0, abs=1e-12)
    found = REGIONS.fractions(RING.sample(200_000, generator()))
    pulls = (found - p) / (p * (1 - p) / 200_000).sqrt()
    assert float(pulls.square().mean()) == pytest.approx(1.0, abs=0.5)
    # Negative control: another modulation is seen at once.
    other = REGIONS.fractions(ModulatedRing(modulation=0.4).sample(200_000, generator()))
    assert float(((other - p) / (p * (1 - p) / 200_000).sqrt()).square().mean()) > 20


def test_target_is_not_gaussian():
    x = RING.sample(50_000, generator())
    torch.testing.assert_close(x.T.cov(), torch.eye(2), rtol=0, atol=0.05)
    assert float((x.square().sum(1) < 0.5).float().mean()) < 0.01  # 22% for a normal one.


def test_events_from_the_truth_are_worth_one_each():
    for point in curve(truth, (1.0, 3.0, 10.0)):
        g = point["G"]
        assert abs(g["value"] / point["multiple"] - 1.0) < 4 * g["sigma"] / g["value"]
        assert g["low"] < g["value"] < g["high"]


def test_a_memorising_generator_does_not_amplify():
    """Drawing from bootstraps of the training events: never worth more than these, however much is drawn."""
    sets = RING.sample(SETS * EVENTS, generator(5)).reshape(SETS, EVENTS, 2).repeat_interleave(MEMBERS, 0)
    weights = torch.from_numpy(bootstraps(SETS, EVENTS, MEMBERS, 3))

    def memory(events, g):
        rows = torch.multinomial(weights, events, replacement=True, generator=g)
        return sets.gather(1, rows[:, :, None].expand(-1, -1, 2))

    far = curve(memory, (1.0, 30.0))[-1]
    # The data's own variance, one quarter more from four bootstraps, and 1/30 from the finite sample.
    assert far["G"]["value"] == pytest.approx(1 / (1 + 0.25 + 1 / 30), abs=4 * far["G"]["sigma"])
    assert far["G"]["value"] < 1.0 + far["G"]["sigma"]
    # Its spread is honest all the same: that is what bootstraps are for.
    assert abs(far["calibration"]["value"] - 1.0) < 4 * far["calibration"]["sigma"]


def test_a_collapsed_generator_is_worth_nothing_and_its_spread_is_seen_to_lie():
    def collapsed(events, g):
        return truth(events, g) * torch.tensor([1.0, 0.5])

    point = curve(collapsed, (10.0,))[0]
    assert point["G"]["value"] < 0.1
    assert point["bias_share"] > 0.9
    assert point["calibration"]["value"] - 3 * point["calibration"]["sigma"] > 3


def test_members_of_equal_weights_state_no_error_and_are_found_out():
    """One network for each set, four times: its common error is in no spread."""
    fractions = np.random.default_rng(1).multinomial(EVENTS, REGIONS.probabilities().numpy(), SETS) / EVENTS
    honest = np.random.default_rng(2)
    same = worth(
        np.repeat(fractions[:, None], 4, 1), REGIONS.probabilities().numpy(), trained=EVENTS, drawn=10**6, seed=1
    )
    assert same["calibration"]["value"] > 100
    boot = np.stack([[honest.multinomial(EVENTS, f) / EVENTS for _ in range(4)] for f in fractions])
    own = worth(boot, REGIONS.probabilities().numpy(), trained=EVENTS, drawn=10**6, seed=1)
    assert abs(own["calibration"]["value"] - 1.0) < 4 * own["calibration"]["sigma"]


def test_sampling_noise_of_the_members_is_not_taken_for_spread():
    p = REGIONS.probabilities().numpy()
    noise_only = np.random.default_rng(1).multinomial(500, p, (400, 4)) / 500
    wanted = (p * (1 - p)).sum() / 2000
    assert predicted_mse(noise_only, 500).mean() == pytest.approx(wanted, rel=0.04)


@pytest.fixture(scope="module")
def study():
    """A small study with a real training."""
    model = {"kind": "flow_matching", "width": 32, "depth": 2, "steps": 5}
    return amplification_study(
        model,
        training_sets=4,
        training_events=200,
        uncertainty=Uncertainty(members=3),
        steps=600,
        multiples=(1.0, 10.0),
        seed=4,
    )


def test_study_states_amplification_with_uncertainty_and_both_controls(study):
    for name in ("curve", "bootstrap_control", "truth_control"):
        assert [p["multiple"] for p in study[name]] == [1.0, 10.0]
        assert all(p["G"]["sigma"] > 0 for p in study[name])
    assert study["bootstrap_control"][-1]["G"]["value"] < 1.2
    assert study["truth_control"][-1]["G"]["value"] > 5
    # What was learned from few events is worth more than these, and not as much as their number.
    assert study["bootstrap_control"][-1]["G"]["value"] < study["curve"][-1]["G"]["value"] < 5
    assert study["curve"][-1]["G"]["value"] > study["curve"][0]["G"]["value"]


OBSERVABLES = [
    Observable(name="m", range=(0.0, 8.0), bins=8),
    Observable(name="M", range=(0.0, 20.0), bins=20, integer=True),
]


def drawn(folder: Path, simulation: str, factor: float, *, chunks: int) -> list[Path]:
    """Chunks of a sample of the surrogate in `folder`, the last one first."""
    parts = [folder / f"{simulation}.{chunk}.{chunks}.parquet" for chunk in reversed(range(chunks))]
    for chunk, part in zip(reversed(range(chunks)), parts, strict=True):
        draw_chunk(
            folder / "m.safetensors",
            folder / f"{simulation}.parquet",
            factor=factor,
            chunk=chunk,
            chunks=chunks,
            seed=3,
            record=Record.for_tests(),
            output=part,
        )
    return parts


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """Simulation, surrogate and amplified sample: (folder, summary)."""
    folder = tmp_path_factory.mktemp("amplify")
    rng = np.random.default_rng(1)
    n = 3000
    mass = rng.gamma(3.0, 1.0, n)
    columns = {"truth_m": mass, "reco_m": mass + 0.2 * rng.standard_normal(n)}
    columns |= {"truth_M": rng.poisson(4, n), "reco_M": rng.poisson(4, n), "weight": np.full(n, 2.0)}
    columns |= {"pass_truth": rng.random(n) < 0.95, "pass_reco": np.ones(n, bool), "event_id": np.arange(n)}
    record = Record.for_tests()
    write_table(
        folder / "simulation.parquet", [columns], observables={}, role="simulation", selection={}, record=record
    )
    model = {"kind": "flow_matching", "width": 32, "depth": 2, "steps": 4}
    surrogate_stage(
        folder / "simulation.parquet",
        OBSERVABLES,
        model,
        uncertainty=Uncertainty(members=3),
        epochs=25,
        batch_size=200,
        learning_rate=5e-3,
        seed=3,
        record=record,
        model_path=folder / "m.safetensors",
        samples_path=folder / "s.parquet",
        summary_path=folder / "s.json",
    )
    options = {"training_sets": 2, "training_events": 150, "uncertainty": Uncertainty(members=2), "steps": 60}
    study_stage(model, **options, seed=3, state=folder / "state", key="", record=record, output=folder / "study.json")
    summary = amplify_stage(
        folder / "study.json",
        drawn(folder, "simulation", 5.0, chunks=3),
        folder / "simulation.parquet",
        factor=5.0,
        record=record,
        table_path=folder / "amplified.parquet",
        summary_path=folder / "summary.json",
    )
    return folder, summary


def test_amplified_sample_says_how_many_events_it_is_worth(stage):
    folder, summary = stage
    table = EventTable(folder / "amplified.parquet")
    stated = table.metadata["amplification"]
    assert table.num_rows == stated["events"] == round(5.0 * stated["n_train"])
    assert 0 < stated["n_equivalent_low"] <= stated["n_equivalent"] < stated["events"]
    assert stated["G"] == pytest.approx(stated["n_equivalent"] / stated["n_train"])
    assert "spread of its members" in stated["statement"]
    assert set(stated["columns"]) == {"truth_m", "truth_M", "reco_m", "reco_M"}
    assert read_record(folder / "summary.json", AmplifySummary) == summary
    assert {"study", "sample", "provenance"} <= set(summary)
    read = table.read(["weight", "member"])
    total = EventTable(folder / "simulation.parquet").read(["weight"])["weight"].sum()
    assert read["weight"].sum() == pytest.approx(total, rel=1e-9)
    assert np.unique(read["member"]).tolist() == [0, 1, 2]


def test_errors_come_from_the_members_and_not_from_the_count(stage):
    table, edges = EventTable(stage[0] / "amplified.parquet"), [0.0, 2.0, 4.0]
    histogram, covariance = member_covariance(table, "m", edges)
    read = table.read(["truth_m", "weight", "member"])
    np.testing.assert_allclose(histogram, np.histogram(read["truth_m"], edges, weights=read["weight"])[0])
    counted = np.histogram(read["truth_m"], edges, weights=np.square(read["weight"]))[0]
    # 1,800 events of training: no sample of theirs knows a bin much better than sqrt(1,800 p) does.
    assert (np.diag(covariance) > 1.5 * counted).any()
    one = member_covariance(table, "m", edges, calibration=1.0)[1]
    own = np.array([3 * np.histogram(read["truth_m"][read["member"] == m], edges)[0] for m in range(3)]) * 1.0
    own *= np.array([3 * read["weight"][read["member"] == m][0] / 3 for m in range(3)])[:, None]
    np.testing.assert_allclose(one, np.cov(own, rowvar=False, ddof=1) * (4 / 3))
    with pytest.warns(RankWarning, match="rank 2, less than the number of bins, 8"):
        member_covariance(table, "m", OBSERVABLES[0].edges)


def test_a_surrogate_of_another_distribution_is_worth_little(stage):
    """Negative control: held against a simulation that it was not trained on, the bias counts."""
    folder, _ = stage
    shifted = EventTable(folder / "simulation.parquet").read(
        ["truth_m", "reco_m", "truth_M", "reco_M", "weight", "pass_truth", "pass_reco", "event_id"]
    )
    shifted["truth_m"] = shifted["truth_m"] * 1.3
    options = {"observables": {}, "role": "simulation", "selection": {}, "record": Record.for_tests()}
    write_table(folder / "shifted.parquet", [shifted], **options)
    parts = drawn(folder, "simulation", 2.0, chunks=1)
    options = {"calibration": 1.0, "record": Record.for_tests()}
    right, wrong = (
        gather_chunks(parts, folder / f"{name}.parquet", **options, output=folder / f"{name}.out.parquet")
        for name in ("simulation", "shifted")
    )
    assert wrong["columns"]["truth_m"]["n_equivalent"] < 0.2 * right["columns"]["truth_m"]["n_equivalent"]
    assert wrong["columns"]["reco_m"]["n_equivalent"] == pytest.approx(
        right["columns"]["reco_m"]["n_equivalent"], rel=1e-6
    )


def test_the_number_of_chunks_changes_no_event(stage):
    folder, _ = stage
    options = {"calibration": 1.0, "record": Record.for_tests(), "output": folder / "again.parquet"}
    gather_chunks(drawn(folder, "simulation", 5.0, chunks=2), folder / "simulation.parquet", **options)
    whole, again = (EventTable(folder / f"{n}.parquet") for n in ("amplified", "again"))
    names = ["truth_m", "reco_M", "event_id", "weight", "member"]
    for name, column in whole.read(names).items():
        np.testing.assert_array_equal(column, again.read([name])[name], err_msg=name)


def test_a_missing_chunk_is_found(stage):
    folder, _ = stage
    parts = drawn(folder, "simulation", 5.0, chunks=3)
    options = {"calibration": 1.0, "record": Record.for_tests(), "output": folder / "never.parquet"}
    with pytest.raises(IncompleteError, match=r"chunks \[0, 2\] of 3"):
        gather_chunks([parts[0], parts[2]], folder / "simulation.parquet", **options)
    assert not (folder / "never.parquet").exists()


def test_more_chunks_than_batches_are_refused(stage):
    with pytest.raises(InputError, match=r"4 given, but .* 3 batches"):
        drawn(stage[0], "simulation", 1.0, chunks=4)


def test_tables_without_members_have_no_such_errors(stage):
    with pytest.raises(InputError, match="no column member"):
        member_covariance(EventTable(stage[0] / "simulation.parquet"), "m", [0.0, 1.0])
