"""The detector gives back the efficiencies, resolutions and granularity it states."""

import awkward as ak
import numpy as np
import pytest

from truthward.physics import detector as d
from truthward.physics.jets import kinematics, momenta

CHARGE = {211: 1, -211: -1, 22: 0, 130: 0, 11: -1, 13: -1, 2112: 0}


def gun(pid: int, pt: float, eta: float, events: int = 4000, seed: int = 3) -> ak.Array:
    """One particle an event, azimuth uniform."""
    phi = np.random.default_rng(seed).uniform(-np.pi, np.pi, events)
    p = momenta(np.full(events, pt), np.full(events, eta), phi, np.zeros(events))
    p = ak.with_field(ak.with_field(p, np.full(events, pid), "pid"), np.full(events, CHARGE[pid]), "charge")
    return ak.unflatten(p, np.ones(events, dtype=int))


def reconstruct(particles: ak.Array, seed: int = 1, **options) -> ak.Array:
    return d.Detector(**options).reconstruct(particles, np.random.default_rng(seed))


@pytest.mark.parametrize(("pid", "pt", "eta"), [(211, 0.8, 0.3), (211, 10.0, -0.3), (-211, 10.0, 2.0), (13, 40.0, 1.0)])
def test_tracking_efficiency_closes(pid, pt, eta):
    reco = reconstruct(gun(pid, pt, eta))
    tracks = ak.sum(reco.pid == (pid if abs(pid) == 211 else 13), axis=1)
    expected = d.tracking_efficiency(np.array([pt]), np.array([eta]), np.array([pid]))[0]
    assert np.mean(tracks) == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 4000) + 1e-9)


def test_efficiency_depends_on_pt_and_eta_and_ends_at_the_tracker():
    eff = d.tracking_efficiency(np.array([0.7, 5.0, 5.0, 5.0]), np.array([0.0, 0.0, 2.0, 2.6]), np.full(4, 211))
    assert eff[0] < eff[2] < eff[1]
    assert eff[3] == 0.0
    assert not ak.any(abs(reconstruct(gun(211, 20.0, 2.6)).pid) == 211)


@pytest.mark.parametrize(("pt", "eta"), [(10.0, 0.2), (200.0, 0.2), (10.0, 2.2)])
def test_track_resolution_closes(pt, eta):
    reco = ak.flatten(reconstruct(gun(211, pt, eta)))
    got = kinematics(reco[reco.pid == 211])[0] / pt
    expected = d.track_resolution(np.array([pt]), np.array([eta]), np.array([211]))[0]
    assert got.std() == pytest.approx(expected, rel=0.06)
    assert got.mean() == pytest.approx(1.0, abs=4 * expected / np.sqrt(len(got)))


@pytest.mark.parametrize(
    ("pid", "label", "energy", "eta", "resolution"),
    [
        (22, 22, 50.0, 0.5, d.ecal_resolution),
        (22, 22, 50.0, 2.0, d.ecal_resolution),
        (130, 130, 60.0, 0.5, d.hcal_resolution),
        (130, 130, 400.0, 4.0, d.hcal_resolution),
    ],
)
def test_calorimeter_resolution_closes(pid, label, energy, eta, resolution):
    reco = ak.flatten(reconstruct(gun(pid, energy / np.cosh(eta), eta)))
    assert set(reco.pid.tolist()) == {label}
    got = ak.to_numpy(reco.E)
    expected = resolution(np.array([energy]), np.array([eta]))[0]
    assert got.std() == pytest.approx(expected, rel=5 / np.sqrt(2 * 4000))
    assert got.mean() == pytest.approx(energy, abs=4 * expected / np.sqrt(len(got)))


def test_photons_are_measured_better_than_neutral_hadrons():
    e, eta = np.array([20.0]), np.array([0.0])
    assert 5 * d.ecal_resolution(e, eta) < d.hcal_resolution(e, eta)


def test_tower_granularity():
    """Directions spread over one tower: a uniform distribution of its size, finer in front than behind."""
    for pid, pitch in ((22, 0.0174), (130, 0.087)):
        reco = ak.flatten(reconstruct(gun(pid, 80.0, 0.5)))
        eta = kinematics(reco)[1]
        assert np.ptp(eta) == pytest.approx(pitch, rel=0.05)
        assert eta.std() == pytest.approx(pitch / np.sqrt(12), rel=0.05)
        assert eta.min() <= 0.5 <= eta.max()


def test_towers_are_unique_to_event_and_place():
    eta = np.array([0.5, 0.5001, 0.5, -0.5, 4.9, 0.5])
    phi = np.array([1.0, 1.0001, 1.0, 1.0, 1.0, 2.0])
    event = np.array([0, 0, 1, 0, 0, 0])
    key, centre_eta, centre_phi, size_eta, size_phi = d.tower_of(event, eta, phi, d.HCAL)
    assert key[0] == key[1]
    assert len(set(key.tolist())) == 5
    assert (np.abs(centre_eta - eta) <= size_eta / 2 + 1e-12).all()
    assert (np.abs(centre_phi - phi) <= size_phi / 2 + 1e-12).all()


def test_neighbours_share_a_tower():
    one = gun(130, 30.0, 0.5, events=500)
    both = ak.concatenate([one, one], axis=1)
    reco = reconstruct(both)
    assert ak.all(ak.num(reco) == 1)
    assert ak.mean(reco.E) == pytest.approx(2 * 30.0 * np.cosh(0.5), rel=0.03)


def test_a_track_replaces_its_deposit():
    """Energy flow: a charged hadron is measured by its track; without tracking it is its tower."""
    pt = 20.0
    charged = gun(211, pt, 0.5)
    flow, calorimeter = reconstruct(charged), reconstruct(charged, tracks=False)
    assert set(ak.flatten(calorimeter.pid).tolist()) == {130}
    assert ak.mean(ak.num(flow)) == pytest.approx(1.0, abs=0.05)
    spread = [np.std(ak.to_numpy(ak.sum(r.E, axis=1))) for r in (flow, calorimeter)]
    assert spread[0] < 0.6 * spread[1]


def test_energy_beside_a_track_is_kept():
    charged, neutral = gun(211, 20.0, 0.5), gun(130, 60.0, 0.5)
    reco = reconstruct(ak.concatenate([charged, neutral], axis=1))
    assert ak.mean(ak.sum(reco.E, axis=1)) == pytest.approx(80.0 * np.cosh(0.5), rel=0.008)


def test_the_energy_of_a_track_is_taken_off_as_it_was_measured(monkeypatch):
    """What the tracker has wrong is in the track and, with the other sign, in what its tower keeps."""
    monkeypatch.setattr(d, "track_resolution", lambda pt, eta, pid: np.full(len(pt), 0.2))
    monkeypatch.setattr(d, "hcal_resolution", lambda energy, eta: 1e-6 * energy)
    charged, neutral = gun(211, 20.0, 0.5, events=1000), gun(130, 60.0, 0.5, events=1000)
    neutral["px"], neutral["py"] = 3.0 * charged.px, 3.0 * charged.py
    reco = reconstruct(ak.concatenate([charged, neutral], axis=1), significance=0.0)
    both = ak.num(reco) == 2
    track, tower = (ak.to_numpy(reco.E[both][reco.pid[both] == pid][:, 0]) for pid in (211, 130))
    assert ak.sum(both) > 900
    assert track.std() == pytest.approx(0.2 * 20.0 * np.cosh(0.5), rel=0.1)
    np.testing.assert_allclose(track + tower, 80.0 * np.cosh(0.5), rtol=1e-3)


def test_thresholds_and_edges():
    assert ak.sum(ak.num(reconstruct(gun(211, 0.3, 0.0)))) == 0
    assert ak.sum(ak.num(reconstruct(gun(130, 50.0, 5.2)))) == 0
    assert ak.sum(ak.num(reconstruct(gun(130, 20.0, 0.0), hcal_min=1e4))) == 0
    assert len(reconstruct(gun(130, 20.0, 0.0)[:, :0])) == 4000


def test_response_scale_reaches_the_energy():
    """Negative control of the resolution tests: a wrong scale is seen."""
    reco = ak.flatten(reconstruct(gun(130, 60.0, 0.0), hcal_scale=0.8))
    assert ak.mean(reco.E) == pytest.approx(48.0, rel=0.01)


def test_smearing_keeps_mean_and_spread():
    got = d.smear(np.full(200_000, 2.0), np.full(200_000, 3.0), np.random.default_rng(0))
    assert got.min() > 0
    assert got.mean() == pytest.approx(2.0, rel=4 * 1.5 / np.sqrt(200_000))
    assert got.std() == pytest.approx(3.0, rel=0.1)


def test_same_seed_same_events():
    gun_ = gun(211, 10.0, 0.5, events=100)
    first, again, other = (reconstruct(gun_, seed=s) for s in (1, 1, 2))
    assert ak.to_list(first) == ak.to_list(again)
    assert ak.to_list(first) != ak.to_list(other)
