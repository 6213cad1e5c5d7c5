"""Z + jet events: means, migration, weights and determinism on a small sample."""

import gc

import awkward as ak
import numpy as np
import pytest

from truthward.errors import ConfigError, TruthwardError
from truthward.physics.decays import DECAYS
from truthward.physics.generators.pythia import Pythia, _SoftZ
from truthward.physics.observables import ABSENT, LN_RHO_FLOOR
from truthward.physics.particles import last_pt, started

EVENTS = 300
# Monash, leading jet inside the acceptance: from 180,000 events of an independent implementation, the multiplicity from
# 19,322 events of this one. There K0S and strange baryons had decayed, with a multiplicity of 28.5.
DECAYED = 28.5
MEANS = {
    "m": 23.6,
    "M": 26.85,
    "w": 0.0543,
    "ln_rho": -7.02,
    "tau21": 0.723,
    "zg": 0.234,
    "jet_pt": 250.7,
    "z_pt": 273.3,
}


@pytest.fixture(scope="module")
def block() -> dict:
    return Pythia(tune=14).block(EVENTS, total=EVENTS, seed=42)


def test_block_has_what_is_promised(block):
    names = {f"{level}_{name}" for level in ("truth", "reco") for name in Pythia.PROVIDES}
    names |= {f"truth_{name}" for name in Pythia.PROVIDES_TRUTH}
    names |= {f"{level}_constituents_{k}" for level in ("truth", "reco") for k in ("pt", "eta", "phi", "pid")}
    assert set(block) == names | {"pass_truth", "pass_reco", "weight", "process"}
    assert {len(column) for column in block.values()} == {EVENTS}
    assert (block["pass_truth"] | block["pass_reco"]).all()


@pytest.mark.parametrize("level", ["truth", "reco"])
def test_values_are_in_the_acceptance_or_absent(block, level):
    passed = block[f"pass_{level}"]
    for name in Pythia.PROVIDES:
        column = block[f"{level}_{name}"]
        assert column.dtype == np.float32
        assert np.isfinite(column).all()
        assert (column[~passed] == ABSENT).all()
    assert block[f"{level}_z_pt"][passed].min() >= 200.0
    assert block[f"{level}_jet_pt"][passed].min() >= 150.0
    assert np.abs(block[f"{level}_jet_eta"][passed]).max() <= 3.0
    assert (block[f"{level}_ln_rho"][passed] >= LN_RHO_FLOOR).all()
    assert ((block[f"{level}_zg"][passed] == 0) | (block[f"{level}_zg"][passed] >= 0.1)).all()
    counts = ak.to_numpy(ak.num(block[f"{level}_constituents_pt"]))
    np.testing.assert_array_equal(counts[passed], block[f"{level}_M"][passed])
    assert (counts[~passed] == 0).all()


@pytest.mark.parametrize("level", ["truth", "reco"])
def test_composition_is_that_of_the_constituents(block, level):
    """By hand from the written constituents: what is neither charged nor a photon is a neutral hadron."""
    passed = block[f"pass_{level}"]
    pt, code = block[f"{level}_constituents_pt"][passed], abs(block[f"{level}_constituents_pid"][passed])
    total = ak.sum(pt, axis=1)
    expected = {
        "em_fraction": ak.sum(pt[(code == 22) | (code == 11)], axis=1) / total,
        "soft_fraction": ak.sum(pt[pt < 1.0], axis=1) / total,
    }
    charged = np.isin(ak.to_numpy(ak.flatten(code)), [11, 13, 211, 321, 2212, 3112, 3222, 3312, 3334])
    charged = ak.unflatten(charged, ak.num(pt))
    expected["charged_fraction"] = ak.sum(pt[charged], axis=1) / total
    expected["neutral_fraction"] = ak.sum(pt[~charged & (code != 22)], axis=1) / total
    if level == "truth":
        expected["strange_fraction"] = ak.sum(pt[(code == 310) | (code == 321) | (code == 130) | (code > 3000)], axis=1)
        expected["strange_fraction"] = expected["strange_fraction"] / total
    for name, values in expected.items():
        np.testing.assert_allclose(block[f"{level}_{name}"][passed], ak.to_numpy(values), atol=1e-5)


def test_long_lived_particles_are_stable_at_particle_level(block):
    """c tau > 10 mm: K0S and strange baryons are there, neutral pions, charm and bottom are not."""
    codes = set(np.abs(ak.to_numpy(ak.flatten(block["truth_constituents_pid"]))).astype(int).tolist())
    assert {22, 130, 211, 310, 321, 2112, 2212, 3122} <= codes
    assert codes <= {11, 13, 22, 130, 211, 310, 321, 2112, 2212, 3112, 3122, 3222, 3312, 3322, 3334}
    assert Pythia.PARTICLE_LEVEL == "particles with c tau > 10 mm are stable"


@pytest.mark.parametrize("name", MEANS)
def test_truth_means(block, name):
    values = block[f"truth_{name}"][block["pass_truth"]]
    assert values.mean() == pytest.approx(MEANS[name], abs=4.5 * values.std() / np.sqrt(len(values)))


def remains(code: int) -> float:
    """Mean number of particles that one becomes when all of `DECAYS` have decayed."""
    channels = DECAYS[code].channels if code in DECAYS else ()
    total = sum(share for share, _, _ in channels)
    return sum(s / total * (remains(abs(a)) + remains(abs(b))) for s, a, b in channels) if channels else 1.0


def test_decaying_what_is_stable_gives_the_other_definition(block):
    """The multiplicity with K0S and strange baryons decayed is that of the independent implementation."""
    passed = block["pass_truth"]
    code = np.abs(ak.to_numpy(ak.flatten(block["truth_constituents_pid"][passed]))).astype(int)
    each = ak.unflatten(np.vectorize(remains)(code), ak.num(block["truth_constituents_pid"][passed]))
    values = ak.to_numpy(ak.sum(each, axis=1))
    error = values.std() / np.sqrt(len(values))
    assert values.mean() == pytest.approx(DECAYED, abs=4.5 * error)
    # The difference fluctuates far less: there are 0.7 K0S and 0.43 strange baryons in a jet.
    more = values - block["truth_M"][passed]
    assert more.mean() == pytest.approx(1.75, abs=4.5 * more.std() / np.sqrt(len(more)))


def test_a_different_tune_is_seen(block):
    """Negative control of the means: the multiplicity of Tune 26 is 3.2 lower, five standard deviations here."""
    other = Pythia(tune=26).block(EVENTS, total=EVENTS, seed=43)
    values = other["truth_M"][other["pass_truth"]]
    assert abs(values.mean() - MEANS["M"]) > 3.0 * values.std() / np.sqrt(len(values))


def test_migration_is_a_few_per_cent_and_depends_on_the_truth(block):
    truth, reco = block["pass_truth"], block["pass_reco"]
    assert 0.03 < np.mean(~reco[truth]) < 0.16
    assert 0.03 < np.mean(~truth[reco]) < 0.16
    near = block["truth_z_pt"][truth] < 220.0
    missed = ~reco[truth]
    assert missed[near].mean() > 3 * missed[~near].mean()
    fake = ~truth[reco]
    near = block["reco_z_pt"][reco] < 220.0
    assert fake[near].mean() > 3 * fake[~near].mean()


def test_response_is_that_of_a_calibrated_detector(block):
    both = block["pass_truth"] & block["pass_reco"]
    response = block["reco_jet_pt"][both] / block["truth_jet_pt"][both]
    assert np.median(response) == pytest.approx(1.0, abs=0.03)
    assert 0.02 < np.subtract(*np.quantile(response, [0.84, 0.16])) / 2 < 0.12


def test_weights_sum_to_the_yield(block):
    # 14.5 pb of accepted cross section at leading order, 1 per fb; 300 events state it to some 7%.
    assert block["weight"].sum() == pytest.approx(14_500, rel=0.25)
    assert len(set(block["weight"].tolist())) == 1


def test_events_without_a_luminosity_weigh_one():
    assert (Pythia(luminosity=0.0).block(3, total=20, seed=1)["weight"] == 1.0).all()


def test_weights_scale_with_luminosity_and_share():
    one = Pythia().block(5, total=5, seed=1)["weight"]
    many = Pythia(luminosity=3.0).block(5, total=20, seed=1)["weight"]
    np.testing.assert_allclose(many, 3.0 / 4.0 * one)


def test_same_seed_same_block_other_seed_other_block():
    first, again, other = (Pythia().block(10, total=10, seed=seed) for seed in (7, 7, 8))
    for name in first:
        assert ak.to_list(first[name]) == ak.to_list(again[name])
    assert first["truth_m"].tolist() != other["truth_m"].tolist()


def test_other_shower_and_detector_run():
    block = Pythia(shower="vincia", tracks=False).block(4, total=4, seed=1)
    pid = ak.flatten(block["reco_constituents_pid"])
    assert set(pid.tolist()) <= {22.0, 130.0, 13.0, -13.0}


def test_settings_reach_the_generator():
    """A string that breaks into softer hadrons makes more of them."""
    means = []
    for b in (0.2, 2.0):
        block = Pythia(settings={"StringZ:bLund": b}).block(40, total=40, seed=1)
        means.append(block["truth_M"][block["pass_truth"]])
    spread = np.hypot(*(m.std() / np.sqrt(len(m)) for m in means))
    assert abs(means[0].mean() - means[1].mean()) > 2 * spread


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"StringZ:aLundd": 0.3}, "no such setting"),
        ({"StringZ:aLund": 77.0}, "its range or type is wrong"),
        ({"StringZ:aLund": "much"}, "its range or type is wrong"),
        ({"random:seed": 3}, "the generator sets this itself"),
        ({"ParticleDecays:limitTau0": False}, "the generator sets this itself"),
    ],
)
def test_settings_are_refused_by_name(settings, words):
    with pytest.raises(ConfigError, match=f"{next(iter(settings))}.*{words}"):
        Pythia(settings=settings)


def test_a_setting_that_did_not_last_is_refused():
    lines = Pythia().settings
    assert started((*lines, "StringZ:aLund = 0.31"), 1, keep={"StringZ:aLund": 0.31})
    with pytest.raises(TruthwardError, match=r"StringZ:aLund = 0\.31 by 0\.5"):
        started((*lines, "StringZ:aLund = 0.5"), 1, keep={"StringZ:aLund": 0.31})


def test_a_veto_outlives_who_asked_for_it():
    """The hook below is held by Pythia alone; without it half of the events would be softer."""
    pythia = started(Pythia().settings, 1, hook=_SoftZ(170.0))
    gc.collect()
    softest = last_pt(pythia.nextBatch(40).prt, 23).min()
    # Below the scale of the veto the pt of the Z changes by 4 GeV at most.
    assert 165.0 < softest < 200.0


def test_margin_must_hold():
    with pytest.raises(ConfigError, match="pt_hat_min"):
        Pythia(pt_hat_min=190.0)
