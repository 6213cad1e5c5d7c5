"""The surrogate stage on a small simulation: what comes out has the events' own shape."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from truthward.errors import InputError, StaleError
from truthward.events.table import EventTable
from truthward.events.table_write import write_table
from truthward.records import read_record
from truthward.records.surrogate import SurrogateSummary
from truthward.run.provenance import Record
from truthward.study.generative_members import Uncertainty
from truthward.study.observable import Observable
from truthward.surrogate.drawing import SurrogateModel, density, draws, load_members
from truthward.surrogate.stage import sample_surrogate, surrogate_stage, train_surrogate

OBSERVABLES = [
    Observable(name="m", range=(0.0, 12.0), bins=12, unit="GeV", label="mass"),
    Observable(name="M", range=(0.0, 30.0), bins=30, integer=True),
    Observable(name="zg", range=(0.0, 0.5), bins=10, atoms=(0.0,)),
]
MODEL = {"kind": "flow_matching", "width": 48, "depth": 2}
TRAINING = {"uncertainty": Uncertainty(members=2), "epochs": 30, "batch_size": 250, "learning_rate": 4e-3}


def write_simulation(path, n: int = 6000, *, seed: int = 1, signed: bool = False, background: bool = False):
    """Mass, multiplicity and a groomed fraction with an atom, at both levels, with misses and fakes."""
    rng = np.random.default_rng(seed)
    mass = rng.gamma(3.0, 1.0, n).astype(np.float32)
    number = rng.poisson(4.0 + 2.0 * mass)
    fraction = np.where(rng.random(n) < 0.2, 0.0, 0.1 + 0.4 * rng.random(n) ** 2)
    weight = np.full(n, 0.5)
    if signed:
        weight[rng.random(n) < 0.1] *= -1.0
    write_table(
        path,
        [
            {
                "truth_m": mass,
                "reco_m": mass * (1.0 + 0.05 * rng.standard_normal(n)),
                "truth_M": number,
                "reco_M": rng.binomial(number, 0.9),
                "truth_zg": fraction,
                "reco_zg": np.where(rng.random(n) < 0.1, 0.0, fraction),
                "pass_truth": np.arange(n) % 10 != 0,
                "pass_reco": np.arange(n) % 5 != 1,
                "weight": weight,
                "process": np.where(background & (np.arange(n) % 4 == 0), "background", "signal"),
                "event_id": np.arange(n, dtype=np.uint64),
            }
        ],
        observables={},
        role="simulation",
        selection={"truth": "m > 0"},
        record=Record.for_tests(),
    )
    return path


SHORT = {"uncertainty": Uncertainty(members=2), "epochs": 1, "batch_size": 1024, "learning_rate": 2e-3}


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """One trained surrogate for all tests of this file: (folder, summary)."""
    folder = tmp_path_factory.mktemp("surrogate")
    write_simulation(folder / "simulation.parquet")
    summary = surrogate_stage(
        folder / "simulation.parquet",
        OBSERVABLES,
        MODEL,
        **TRAINING,
        seed=3,
        record=Record.for_tests(),
        model_path=folder / "model.safetensors",
        samples_path=folder / "samples.parquet",
        summary_path=folder / "summary.json",
    )
    return folder, summary


def test_sample_is_an_event_table_with_the_yield_of_the_simulation(stage):
    folder, _ = stage
    simulation, samples = EventTable(folder / "simulation.parquet"), EventTable(folder / "samples.parquet")
    assert samples.role == "simulation"
    assert set(samples.columns) == {*simulation.columns, "member"}
    assert samples.metadata["observables"]["m"]["unit"] == "GeV"
    assert samples.metadata["selection"] == {"truth": "m > 0"}
    read, given = samples.read(["weight", "member", "event_id"]), simulation.read(["weight", "event_id"])
    assert read["weight"].sum() == pytest.approx(given["weight"].sum(), rel=1e-9)
    assert np.unique(read["member"]).tolist() == [0, 1]
    # Bootstraps differ in yield, and their samples say so.
    sums = [read["weight"][read["member"] == m].sum() for m in (0, 1)]
    assert 1e-4 < abs(sums[0] / sums[1] - 1.0) < 0.1
    assert not np.isin(read["event_id"], given["event_id"]).any()


def test_misses_and_fakes_come_at_their_rate_and_without_values(stage):
    read = EventTable(stage[0] / "samples.parquet").read(["pass_truth", "pass_reco", "truth_m", "reco_m", "weight"])
    truth, reco = read["pass_truth"], read["pass_reco"]
    assert (truth | reco).all()
    for flags, wanted in ((truth & ~reco, 0.2), (reco & ~truth, 0.1)):
        assert np.average(flags, weights=read["weight"]) == pytest.approx(wanted, abs=0.02)
    assert np.isnan(read["truth_m"][~truth]).all()
    assert np.isnan(read["reco_m"][~reco]).all()


def test_integers_are_integers_and_atoms_have_their_probability(stage):
    read = {
        n: EventTable(stage[0] / f"{n}.parquet").read(["truth_M", "truth_zg", "reco_zg", "pass_truth", "pass_reco"])
        for n in ("simulation", "samples")
    }
    number = read["samples"]["truth_M"][read["samples"]["pass_truth"]]
    assert (number == np.round(number)).all()
    # A larger sample than the stage's own, whose noise would fill half of the bound.
    many = list(draws(load_members(stage[0] / "model.safetensors")[0], 50_000, seed=1))
    for level in ("truth", "reco"):
        simulated = (read["simulation"][f"{level}_zg"][read["simulation"][f"pass_{level}"]] == 0).mean()
        drawn = np.concatenate([batch[f"{level}_zg"][batch[f"pass_{level}"]] == 0 for batch in many]).mean()
        assert drawn == pytest.approx(simulated, abs=0.03)
        values = read["samples"][f"{level}_zg"][read["samples"][f"pass_{level}"]]
        assert not ((values != 0) & (values < 0.1)).any()


def test_distributions_and_response_are_learned(stage):
    tables = {n: EventTable(stage[0] / f"{n}.parquet") for n in ("simulation", "samples")}
    read = {n: t.read(["truth_m", "reco_m", "truth_M"]) for n, t in tables.items()}
    for column in ("truth_m", "reco_m", "truth_M"):
        mean = {n: float(np.nanmean(r[column])) for n, r in read.items()}
        width = {n: float(np.nanstd(r[column])) for n, r in read.items()}
        assert mean["samples"] == pytest.approx(mean["simulation"], abs=0.06 * width["simulation"])
        assert width["samples"] == pytest.approx(width["simulation"], rel=0.06)
    response = {n: np.nanstd(r["reco_m"] / r["truth_m"]) for n, r in read.items()}
    assert response["samples"] < 2.0 * response["simulation"]
    # Negative control: levels drawn independently have no response to speak of.
    shuffled = np.random.default_rng(1).permutation(read["simulation"]["reco_m"]) / read["simulation"]["truth_m"]
    assert np.nanstd(shuffled) > 5.0 * response["simulation"]


def test_summary_has_what_the_report_needs(stage):
    folder, summary = stage
    assert read_record(folder / "summary.json", SurrogateSummary) == summary
    assert len(summary["history"]["train"]) == TRAINING["epochs"]
    assert summary["history"]["train"][-1][0] < 0.95 * summary["history"]["train"][0][0]
    assert summary["training"]["training_events"] < 0.65 * 6000
    assert summary["samples"]["sum_of_weights"] == pytest.approx(3000 * 0.98, rel=0.05)


def test_draws_repeat_with_their_seed_and_the_members_differ(stage):
    members, provenance = load_members(stage[0] / "model.safetensors")
    assert provenance["events_in"] == 6000

    def mass(seed):
        return np.concatenate([b["truth_m"] for b in draws(members, 500, seed=seed, rows=100)])

    np.testing.assert_array_equal(mass(1), mass(1))
    assert not np.array_equal(mass(1), mass(2), equal_nan=True)
    noise = torch.randn(50, 6)
    assert not torch.allclose(*(m.draw(torch.ones(50, dtype=torch.long), noise) for m in members), equal_nan=True)
    ids = np.concatenate([b["event_id"] for b in draws(members, 501, seed=1, rows=100)])
    assert len(np.unique(ids)) == 501
    chunks = [draws(members, 500, seed=1, rows=100, chunk=chunk, chunks=3) for chunk in range(3)]
    np.testing.assert_array_equal(mass(1), np.concatenate([b["truth_m"] for part in chunks for b in part]))


def test_signed_weights_and_background_keep_the_yield(tmp_path):
    write_simulation(tmp_path / "s.parquet", 1500, signed=True, background=True)
    options = {"seed": 1, "record": Record.for_tests()}
    _, facts = train_surrogate(
        tmp_path / "s.parquet", OBSERVABLES, MODEL, **SHORT, **options, output=tmp_path / "m.safetensors"
    )
    sample_surrogate(tmp_path / "m.safetensors", 2000, **options, output=tmp_path / "o.parquet")
    found = EventTable(tmp_path / "o.parquet").read(["weight", "process"])
    # A tenth of the weights is negative: (0.9 - 0.1)^2.
    assert facts["training_events_effective"] == pytest.approx(0.64 * facts["training_events"], rel=0.05)
    assert found["weight"].sum() == pytest.approx(EventTable(tmp_path / "s.parquet").read(["weight"])["weight"].sum())
    share = found["weight"][found["process"] == "background"].sum() / found["weight"].sum()
    assert share == pytest.approx(0.25, abs=0.05)


def test_a_category_of_negative_yield_is_refused(tmp_path):
    rows = {"truth_m": np.ones(200), "reco_m": np.ones(200), "event_id": np.arange(200)}
    rows |= {"pass_truth": np.ones(200, bool), "pass_reco": np.arange(200) < 150}
    rows["weight"] = np.where(rows["pass_reco"], 1.0, -1.0)
    options = {"observables": {}, "role": "simulation", "selection": {}, "record": Record.for_tests()}
    write_table(tmp_path / "s.parquet", [rows], **options)
    with pytest.raises(InputError, match=r"signal/miss events sum to -"):
        train_surrogate(
            tmp_path / "s.parquet",
            OBSERVABLES[:1],
            MODEL,
            **SHORT,
            seed=1,
            record=Record.for_tests(),
            output=tmp_path / "m",
        )
    assert not (tmp_path / "m").exists()


def test_a_finished_training_is_taken_up_and_a_stale_one_refused(tmp_path):
    write_simulation(tmp_path / "s.parquet", 800)
    options = SHORT | {"epochs": 2, "seed": 1, "record": Record.for_tests(), "state": tmp_path / "state"}
    first, _ = train_surrogate(
        tmp_path / "s.parquet", OBSERVABLES, MODEL, **options, key="a", output=tmp_path / "a.safetensors"
    )
    again, _ = train_surrogate(
        tmp_path / "s.parquet", OBSERVABLES, MODEL, **options, key="a", output=tmp_path / "b.safetensors"
    )
    assert first == again
    one, two = (load_members(tmp_path / f"{n}.safetensors")[0][1].state_dict() for n in "ab")
    assert all(torch.equal(one[k], two[k]) for k in one)
    with pytest.raises(StaleError):
        train_surrogate(tmp_path / "s.parquet", OBSERVABLES, MODEL, **options, key="b", output=tmp_path / "c")


def test_a_posterior_gives_members_of_one_training_with_yields_of_their_own(tmp_path):
    write_simulation(tmp_path / "s.parquet", 800)
    options = SHORT | {
        "uncertainty": Uncertainty(kind="variational", members=3),
        "seed": 1,
        "record": Record.for_tests(),
    }
    history, facts = train_surrogate(
        tmp_path / "s.parquet", OBSERVABLES, MODEL, **options, output=tmp_path / "m.safetensors"
    )
    assert len(history.train[0]) == 1
    members, _ = load_members(tmp_path / "m.safetensors")
    assert len(members) == 3
    shared, own = "model.network.layers.0.weight", "model.network.layers.4.weight"
    states = [m.state_dict() for m in members]
    assert torch.equal(states[0][shared], states[1][shared])
    assert not torch.equal(states[0][own], states[1][own])
    assert torch.equal(states[0]["transform.x_knots"], states[1]["transform.x_knots"])
    assert len(set(facts["member_yields"]["signal/both"])) == 3
    sample_surrogate(
        tmp_path / "m.safetensors", 300, seed=1, record=Record.for_tests(), output=tmp_path / "drawn.parquet"
    )
    assert EventTable(tmp_path / "drawn.parquet").read(["weight"])["weight"].sum() == pytest.approx(facts["yield"])


def test_density_is_normalised_and_has_the_spread_of_the_members():
    g = torch.Generator().manual_seed(1)
    truth = torch.randn(2000, 1, generator=g).exp()
    x = torch.cat([truth, truth + 0.3 * torch.randn(2000, 1, generator=g)], 1)
    members = []
    for seed in range(3):
        torch.manual_seed(seed)
        member = SurrogateModel(
            model=MODEL | {"solver": "rk4"},
            observables=[OBSERVABLES[0].model_dump(mode="json")],
            categories=[["signal", "both"], ["signal", "miss"]],
            selection={},
        ).eval()
        member.prepare(x, torch.zeros(2000, dtype=torch.long), torch.ones(2000), g)
        members.append(member)
    axes = torch.linspace(-2, 14, 161), torch.linspace(-4, 16, 201)
    grid = torch.cartesian_prod(*axes)
    found, sigma = density(members, grid, torch.zeros(len(grid), dtype=torch.long))
    # Untrained, the networks are any density: what is tested is the change of variables.
    assert float(found.sum() * 0.1 * 0.1) == pytest.approx(1.0, abs=0.05)
    each = torch.stack([m.log_prob(grid[:5000], torch.zeros(5000, dtype=torch.long)).exp() for m in members]).detach()
    torch.testing.assert_close(sigma[:5000].float(), each.std(0) * (4 / 3) ** 0.5, rtol=1e-3, atol=1e-7)
    with pytest.raises(InputError, match="only events with truth and reco level"):
        density(members, grid[:1], torch.ones(1, dtype=torch.long))


def test_students_draw_integers_and_atoms_and_are_taken_up_again(tmp_path):
    write_simulation(tmp_path / "s.parquet", 4000, signed=True)
    student = {"pairs": 10_000, "epochs": 8, "batch_size": 250, "width": 48, "depth": 2}
    options = TRAINING | {"epochs": 15, "seed": 3, "record": Record.for_tests(), "state": tmp_path, "key": "a"}
    model = {"kind": "consistency", "teacher": MODEL, **student}
    for name in ("first", "again"):
        train_surrogate(tmp_path / "s.parquet", OBSERVABLES, model, **options, output=tmp_path / name)
    assert (tmp_path / "surrogate.distil.pt").is_file()
    members, _ = load_members(tmp_path / "first")
    first, again = (list(draws(load_members(tmp_path / n)[0], 8000, seed=1)) for n in ("first", "again"))
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a["truth_m"], b["truth_m"], equal_nan=True)
    # Both draw from the same noise; the student's events are near the teacher's and are not the same.
    both = torch.tensor([i for i, (_, pattern) in enumerate(members[0].categories) if pattern == "both"]).repeat(8000)
    noise = torch.randn(8000, 6, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        drawn = members[0].draw(both, noise)
        one_hot = torch.nn.functional.one_hot(both, len(members[0].categories)).float()
        exact = members[0].model.taught(one_hot, noise)
        off = (members[0].model.sample(one_hot, noise) - exact).square().mean().sqrt()
    assert 0.0 < off < 0.25
    assert torch.equal(drawn[:, 1], drawn[:, 1].round())
    zero = drawn[:, 2] == 0.0
    assert float(zero.float().mean()) == pytest.approx(0.2, abs=0.04)
    assert float(drawn[~zero, 2].min()) >= 0.09
