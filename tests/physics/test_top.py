"""Top decays: acceptance, migration, masses of a list, and a peak that moves with the mass."""

import numpy as np
import pytest

from truthward.errors import ConfigError
from truthward.physics.generators.top import PAIRS, Top
from truthward.physics.observables import ABSENT

EVENTS = 240
MASSES = [160.0, 185.0]


@pytest.fixture(scope="module")
def block() -> dict:
    return Top(top_mass=MASSES).block(EVENTS, total=EVENTS, seed=42)


def test_block_has_what_is_promised(block):
    names = {f"{level}_{name}" for level in ("truth", "reco") for name in Top.PROVIDES}
    names |= {f"truth_{name}" for name in Top.PROVIDES_TRUTH}
    assert set(block) == names | {"pass_truth", "pass_reco", "weight", "process"}
    assert {len(column) for column in block.values()} == {EVENTS}
    assert (block["pass_truth"] | block["pass_reco"]).all()


@pytest.mark.parametrize("level", ["truth", "reco"])
def test_values_are_in_the_acceptance_or_absent(block, level):
    passed = block[f"pass_{level}"]
    for name in Top.PROVIDES:
        column = block[f"{level}_{name}"]
        assert column.dtype == np.float32
        assert (column[~passed] == ABSENT).all()
    values = {name: block[f"{level}_{name}"][passed] for name in Top.PROVIDES}
    assert (values["jet_pt"] > 400.0).all()
    assert (np.abs(values["jet_eta"]) < 2.5).all()
    assert ((values["m_jjj"] > 130.0) & (values["m_jjj"] < 215.0)).all()
    # m_jjj^2 = sum m_ij^2 - sum m_i^2, and subjets have a mass.
    pairs = sum(values[name] ** 2 for name in PAIRS)
    assert (values["m_jjj"] ** 2 < pairs).all()
    assert (values["m_jjj"] ** 2 > 0.5 * pairs).all()


def test_migration_and_response(block):
    truth, reco = block["pass_truth"], block["pass_reco"]
    assert 0.03 < np.mean(~reco[truth]) < 0.25
    assert 0.03 < np.mean(~truth[reco]) < 0.25
    response = (block["reco_m_jjj"] / block["truth_m_jjj"])[truth & reco]
    assert np.median(response) == pytest.approx(0.99, abs=0.02)
    assert 0.015 < np.subtract(*np.quantile(response, [0.84, 0.16])) / 2 < 0.08


def test_the_masses_of_a_list_have_equal_parts(block):
    mass = block["truth_top_mass"]
    assert set(mass[block["pass_truth"]]) == set(MASSES)
    assert (mass[~block["pass_truth"]] == ABSENT).all()
    assert set(mass[::2]) <= {MASSES[0], ABSENT}
    assert set(mass[1::2]) <= {MASSES[1], ABSENT}


def test_the_peak_moves_with_the_mass(block):
    """Both levels; the fixed acceptance takes part of the 25 GeV away."""
    first = np.arange(EVENTS) % 2 == 0
    for level in ("truth", "reco"):
        m, passed = block[f"{level}_m_jjj"], block[f"pass_{level}"]
        medians = [np.median(m[passed & chosen]) for chosen in (first, ~first)]
        assert 15.0 < medians[1] - medians[0] < 30.0


def test_same_seed_same_block_and_a_mass_does_not_depend_on_the_others():
    alone, again, other = (Top(top_mass=165.0).block(6, total=6, seed=seed) for seed in (7, 7, 8))
    for name in alone:
        np.testing.assert_array_equal(alone[name], again[name])
    assert alone["truth_m_jjj"].tolist() != other["truth_m_jjj"].tolist()
    beside = Top(top_mass=[165.0, 170.0]).block(12, total=12, seed=7)
    np.testing.assert_array_equal(beside["reco_m_jjj"][::2], alone["reco_m_jjj"])


def test_weights_sum_to_the_yield(block):
    # 0.2 pb at leading order for one kind of lepton, averaged over both masses; 240 events state it to some 10%.
    assert block["weight"].sum() == pytest.approx(200.0, rel=0.4)
    assert (Top(luminosity=0.0).block(3, total=20, seed=1)["weight"] == 1.0).all()


def test_multiparton_interactions_are_an_option():
    without, with_them = (Top(multiparton=m) for m in (False, True))
    assert "PartonLevel:MPI = off" in without.settings
    assert "PartonLevel:MPI = on" in with_them.settings
    assert len(with_them.block(2, total=2, seed=1)["weight"]) == 2


@pytest.mark.parametrize("options", [{"top_mass": []}, {"top_mass": -1.0}, {"mass_window": [200.0, 100.0]}])
def test_senseless_options_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        Top(**options)
