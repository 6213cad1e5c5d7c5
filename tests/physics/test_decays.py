"""Decays in flight against what can be written down: conservation, exponential lengths, branching ratios."""

import awkward as ak
import numpy as np
import pytest

from truthward.physics.decays import CHARGE, DECAYS, MASS, RADIUS, Flight, decay_in_flight
from truthward.physics.detector import Detector
from truthward.physics.jets import kinematics

PARENTS = {310: 0.497611, 3122: 1.115683, 3222: 1.18937, 3112: 1.197449, 3322: 1.31486, 3312: 1.32171, 3334: 1.67245}
OF_PARENTS = {310: 0, 3122: 0, 3222: 1, 3112: -1, 3322: 0, 3312: -1, 3334: -1}
N = 20_000


def beam(pid: int, pt: float = 5.0, eta: float = 0.0, events: int = N) -> Flight:
    """One particle an event, azimuth uniform."""
    phi = np.random.default_rng(3).uniform(-np.pi, np.pi, events)
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), np.full(events, pt * np.sinh(eta))
    energy = np.sqrt(px**2 + py**2 + pz**2 + PARENTS[abs(pid)] ** 2)
    charge = np.full(events, np.sign(pid) * OF_PARENTS[abs(pid)])
    return Flight(np.arange(events), px, py, pz, energy, np.full(events, pid), charge, *np.zeros((3, events)))


def fly(particles: Flight, seed: int = 1, **cylinder: float) -> Flight:
    return decay_in_flight(particles, np.random.default_rng(seed), **cylinder)


@pytest.mark.parametrize("pid", [*PARENTS, -3122, -3334])
def test_four_momentum_and_charge_are_conserved(pid):
    before = beam(pid, pt=3.0, eta=1.0)
    after = fly(before, radius=np.inf, half_length=np.inf)
    assert not np.isin(np.abs(after.pid), list(DECAYS)).any()
    for name in ("px", "py", "pz", "energy", "charge"):
        sums = np.bincount(after.event, weights=getattr(after, name), minlength=N)
        np.testing.assert_allclose(sums, getattr(before, name), rtol=1e-9, atol=1e-9)
    mass = np.sqrt(np.maximum(after.energy**2 - after.px**2 - after.py**2 - after.pz**2, 0.0))
    np.testing.assert_allclose(mass, [MASS[abs(code)] for code in after.pid], atol=1e-5)


def test_the_table_conserves_charge_baryon_number_and_energy():
    baryon = {code: int(code > 2000) for code in (*MASS, *PARENTS)}
    for pid, species in DECAYS.items():
        assert sum(share for share, _, _ in species.channels) == pytest.approx(1.0, abs=0.005)
        for _, *daughters in species.channels:
            signs = [(np.sign(d), abs(d)) for d in daughters]
            assert sum(s * CHARGE[d] for s, d in signs) == (OF_PARENTS | CHARGE)[pid]
            assert sum(s * baryon[d] for s, d in signs) == baryon[pid]
            assert sum(MASS[d] for _, d in signs) < (PARENTS | MASS)[pid]


@pytest.mark.parametrize(("pid", "pt"), [(310, 2.0), (3122, 5.0)])
def test_decay_lengths_are_exponential(pid, pt):
    """Mean beta gamma c tau; the share inside a radius is 1 - exp(-radius / (beta gamma c tau))."""
    length = pt / PARENTS[pid] * DECAYS[pid].c_tau
    charged = fly(beam(pid, pt), radius=np.inf, half_length=np.inf)
    # One charged pion of the first decay stands for its place; those of neutral pions do not exist.
    pions = charged.select(charged.pid == -211)
    assert np.hypot(pions.x, pions.y).mean() == pytest.approx(length, rel=4 / np.sqrt(len(pions.pid)))
    late = (fly(beam(pid, pt)).pid == pid).sum() / N
    expected = np.exp(-RADIUS / length)
    assert late == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / N))


def test_half_length_counts_along_the_beam():
    length = 2.0 * np.sinh(2.4) / PARENTS[3122] * DECAYS[3122].c_tau
    late = (fly(beam(3122, 2.0, 2.4), radius=np.inf, half_length=500.0).pid == 3122).sum() / N
    assert late == pytest.approx(np.exp(-500.0 / length), abs=4 * 0.5 / np.sqrt(N))


@pytest.mark.parametrize(
    ("pid", "daughter", "share"),
    [(310, 211, 0.692 / 0.9989), (3122, 2212, 0.639 / 0.997), (-3122, 211, 0.639 / 0.997), (3222, 2112, 0.484)],
)
def test_branching_ratios(pid, daughter, share):
    after = fly(beam(pid), radius=np.inf, half_length=np.inf)
    got = (after.pid == daughter).sum() / N
    assert got == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / N))


def test_cascades_end_with_stable_particles_born_behind_one_another():
    after = fly(beam(3334, 20.0, events=2000), radius=np.inf, half_length=np.inf)
    assert set(np.abs(after.pid).tolist()) == {22, 211, 321, 2112, 2212}
    proton = after.select(after.pid == 2212)
    kaon = after.select(after.pid == -321)
    _, first, second = np.intersect1d(kaon.event, proton.event, return_indices=True)
    assert len(first) > 500
    # The kaon comes from the Omega, the proton of the same event from the Lambda: further out.
    radius = [np.hypot(p.x, p.y)[rows] for p, rows in ((kaon, first), (proton, second))]
    assert (radius[1] > radius[0]).mean() > 0.99


def test_stable_particles_stay_as_they_are():
    before = beam(310, events=10)._replace(pid=np.array([211, 22, 130, 2112, 11] * 2))
    after = fly(before)
    for name in Flight._fields:
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


def seen(pid: int, pt: float, events: int = 3000) -> ak.Array:
    p = beam(pid, pt, 0.3, events)
    fields = {"px": p.px, "py": p.py, "pz": p.pz, "E": p.energy, "pid": p.pid, "charge": p.charge}
    particles = ak.unflatten(ak.zip(fields), np.ones(events, dtype=int))
    return Detector().reconstruct(particles, np.random.default_rng(5))


def test_a_kaon_is_two_tracks_photons_or_a_neutral_hadron():
    soft, hard = seen(310, 4.0), seen(310, 400.0)
    tracks = ak.sum(abs(soft.pid) == 211, axis=1)
    # Decay within 600 mm at 4 GeV: 94%; to pions 69%; each has a track with 95%, 70% below 1 GeV.
    within = 1.0 - np.exp(-600.0 / (4.0 / PARENTS[310] * DECAYS[310].c_tau))
    pair = float(np.mean(tracks == 2))
    assert 0.70**2 < pair / (within * 0.692) < 0.95**2
    assert 0.2 < float(np.mean(ak.any(soft.pid == 22, axis=1))) < 0.32
    flat = ak.flatten(hard)
    assert float(np.mean(ak.to_numpy(flat.pid) == 130)) > 0.85
    assert kinematics(flat)[0].mean() == pytest.approx(400.0, rel=0.15)
