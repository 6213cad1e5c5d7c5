"""Jets, grooming and N-subjettiness against numbers worked out by hand."""

import awkward as ak
import numpy as np
import pytest

from truthward.physics.jets import delta_phi, kinematics, leading_jet, momenta, n_subjettiness, soft_drop, subjets
from truthward.physics.observables import ABSENT, LN_RHO_FLOOR, SUBSTRUCTURE, level, substructure


def particles(*events: list[tuple[float, float, float]]) -> ak.Array:
    """Massless particles from (pt, eta, phi)."""
    counts = [len(event) for event in events]
    pt, eta, phi = np.array([p for event in events for p in event], dtype=float).reshape(-1, 3).T
    p = ak.with_field(momenta(pt, eta, phi, np.zeros(len(pt))), np.full(len(pt), 211), "pid")
    return ak.unflatten(p, counts)


TWO = [(100.0, 0.0, 0.0), (50.0, 0.2, 0.1)]
SOFT = [(100.0, 0.0, 0.0), (5.0, 0.2, 0.1)]
ONE = [(100.0, 0.3, 3.1)]
THREE = [(100.0, 0.0, 0.0), (80.0, 0.3, 0.0), (20.0, 0.3, 0.05)]


def test_kinematics_inverts_momenta():
    pt, eta, phi, m = np.array([1.0, 250.0]), np.array([-4.9, 0.4]), np.array([-3.0, 2.0]), np.array([0.14, 30.0])
    got_pt, got_eta, rapidity, got_phi, got_m = kinematics(momenta(pt, eta, phi, m))
    for got, expected in ((got_pt, pt), (got_eta, eta), (got_phi, phi), (got_m, m)):
        np.testing.assert_allclose(got, expected, rtol=1e-6)
    energy = np.sqrt((pt * np.cosh(eta)) ** 2 + m**2)
    np.testing.assert_allclose(rapidity, np.arctanh(pt * np.sinh(eta) / energy), rtol=1e-6)


def test_delta_phi_goes_the_short_way():
    np.testing.assert_allclose(
        delta_phi(np.array([3.1, -3.1, 1.0, 2.5, -3.0]), np.array([-3.1, 3.1, 0.5, 0.0, 0.0])),
        [-0.0832, 0.0832, 0.5, 2.5, -3.0],
        atol=1e-4,
    )


def test_leading_jet_is_the_hardest_and_keeps_its_constituents():
    far = [(90.0, 2.0, 2.0), (1.0, -4.0, -2.0)]
    jets = leading_jet(particles(far + TWO, far, [(1.0, 0.0, 0.0)], []))
    assert ak.num(jets.constituents).tolist() == [2, 1, 0, 0]
    assert jets.pt[1] == pytest.approx(90.0)
    assert jets.pt[2:].tolist() == [0.0, 0.0]
    # Vector sum of the two, by hand.
    px, py = 100.0 + 50.0 * np.cos(0.1), 50.0 * np.sin(0.1)
    assert jets.pt[0] == pytest.approx(np.hypot(px, py))
    assert jets.phi[0] == pytest.approx(np.arctan2(py, px))
    assert jets.m[0] == pytest.approx(np.sqrt(2 * 100 * 50 * (np.cosh(0.2) - np.cos(0.1))))
    assert jets.constituents.pid[0].tolist() == [211, 211]


def test_radius_is_an_argument():
    wide = particles([(100.0, 0.0, 0.0), (50.0, 0.6, 0.0)])
    assert ak.num(leading_jet(wide, radius=0.4).constituents).tolist() == [1]
    assert ak.num(leading_jet(wide, radius=0.8).constituents).tolist() == [2]


def test_a_jet_opposite_to_an_azimuth():
    two = [(100.0, 0.0, 0.1), (90.0, 0.5, 3.0)]
    jets = leading_jet(particles(two, two, [two[0]]), opposite=np.array([0.0, 3.1, 0.0]))
    assert jets.pt.tolist() == [pytest.approx(90.0), pytest.approx(100.0), 0.0]
    assert ak.num(jets.constituents).tolist() == [1, 1, 0]


def test_subjets_are_what_lies_about_three_axes():
    soft = (1.0, -0.3, 0.1)
    wide = (2.0, 0.0, 0.75)
    first = [(50.0, 0.0, 0.0), (30.0, 0.1, 0.0), soft, wide, (100.0, 1.0, 0.0), (20.0, 0.0, 1.3)]
    second = [(40.0, 0.0, 3.1), (60.0, 0.0, -2.0), (10.0, 1.5, 0.0)]
    found = subjets(particles(first, second))
    pt = np.hypot(found[..., 0], found[..., 1])
    # The soft one lies within 0.4 of the first axis, the wide one of none.
    assert pt[0].tolist() == pytest.approx([100.0, np.hypot(80.0 + np.cos(0.1), np.sin(0.1)), 20.0])
    assert pt[1].tolist() == pytest.approx([60.0, 40.0, 10.0])
    np.testing.assert_allclose(found[1, 0], [60 * np.cos(-2.0), 60 * np.sin(-2.0), 0.0, 60.0], atol=1e-9)
    near = subjets(particles(first), radius=0.8)
    assert np.hypot(near[..., 0], near[..., 1]).sum() > pt[0].sum() + 1.5
    assert subjets(particles(first)[:0]).shape == (0, 3, 4)


def test_no_event_is_no_error():
    jets = leading_jet(particles(TWO)[:0])
    assert len(jets.pt) == 0
    assert set(substructure(jets)) == set(SUBSTRUCTURE)


def test_soft_drop_by_hand():
    mass, zg = soft_drop(particles(TWO, SOFT, ONE, THREE))
    pair = np.sqrt(2 * 100 * 50 * (np.cosh(0.2) - np.cos(0.1)))
    np.testing.assert_allclose(zg[:3], [1.0 / 3.0, 0.0, 0.0])
    np.testing.assert_allclose(mass[:3], [pair, 0.0, 0.0], rtol=1e-6)
    # The close pair is merged first: the first splitting undone is 100 against the pair.
    inner = np.hypot(80.0 + 20.0 * np.cos(0.05), 20.0 * np.sin(0.05))
    assert zg[3] == pytest.approx(inner / (100.0 + inner))


def test_soft_drop_cut_moves_with_zcut():
    assert soft_drop(particles(SOFT), zcut=0.1)[1][0] == 0.0
    assert soft_drop(particles(SOFT), zcut=0.04)[1][0] == pytest.approx(5.0 / 105.0)


def test_soft_drop_radius_matters_with_beta_only():
    # z = 1/3 at dR = 0.224: with beta = 2 and R0 = 0.1 the condition is z > 0.5, with R0 = 0.4 it is z > 0.03.
    assert soft_drop(particles(TWO), beta=2.0, radius=0.1)[1][0] == 0.0
    assert soft_drop(particles(TWO), beta=2.0, radius=0.4)[1][0] == pytest.approx(1.0 / 3.0)


def test_n_subjettiness_against_the_definition():
    """Two axes are the exclusive-kT jets {1} and {2, 3} of THREE; the sums are then elementary."""
    tau = n_subjettiness(particles(THREE), radius=0.4)[0]
    p = particles(THREE)[0]

    def distances(axis):
        _, _, y, phi, _ = kinematics(p)
        total = ak.zip({name: [ak.sum(p[name][axis])] for name in ("px", "py", "pz", "E")})
        _, _, y_axis, phi_axis, _ = kinematics(total)
        return np.hypot(y - y_axis, delta_phi(phi, phi_axis))

    pt = np.array([row[0] for row in THREE])
    tau1 = (pt * distances([0, 1, 2])).sum() / (pt.sum() * 0.4)
    tau2 = (pt * np.minimum(distances([0]), distances([1, 2]))).sum() / (pt.sum() * 0.4)
    np.testing.assert_allclose(tau, [tau1, tau2], rtol=1e-6)


def test_two_prongs_have_small_tau21():
    rng = np.random.default_rng(0)

    def spray(centre):
        return [(10.0, centre + d, f) for d, f in rng.normal(0.0, 0.01, (10, 2))]

    one_prong, two_prongs = spray(0.0) + spray(0.0), spray(-0.15) + spray(0.15)
    values = substructure(leading_jet(particles(one_prong, two_prongs)))["tau21"]
    assert values[1] < 0.15 < 0.5 < values[0]


def test_observables_of_two_particles():
    jets = leading_jet(particles(TWO))
    got = {name: value[0] for name, value in substructure(jets).items()}
    pair = np.sqrt(2 * 100 * 50 * (np.cosh(0.2) - np.cos(0.1)))
    distance = np.hypot([0.0 - jets.rapidity[0], 0.2 - jets.rapidity[0]], [jets.phi[0], 0.1 - jets.phi[0]])
    assert got["M"] == 2.0
    assert got["m"] == pytest.approx(pair)
    assert got["w"] == pytest.approx((100 * distance[0] + 50 * distance[1]) / 150)
    assert got["ln_rho"] == pytest.approx(2 * np.log(pair / jets.pt[0]))
    assert got["zg"] == pytest.approx(1 / 3)
    assert got["tau21"] == 0.0


def test_a_rotation_in_azimuth_changes_no_observable():
    """Across the border at pi as anywhere else."""
    rotated = [[(pt, eta, phi + turn) for pt, eta, phi in THREE] for turn in (0.0, 1.0, 3.1, 3.13, -2.0)]
    for name, values in substructure(leading_jet(particles(*rotated))).items():
        np.testing.assert_allclose(values, values[0], rtol=1e-6, atol=1e-9, err_msg=name)


def test_atoms_are_exact_and_nothing_is_nan():
    collinear = [(60.0, 0.5, 0.5)] * 3
    values = substructure(leading_jet(particles(ONE, SOFT, collinear, THREE)))
    assert values["ln_rho"][:2].tolist() == [LN_RHO_FLOOR] * 2
    assert values["zg"][:2].tolist() == [0.0, 0.0]
    assert values["tau21"][:2].tolist() == [0.0, 0.0]
    assert values["ln_rho"][2] == LN_RHO_FLOOR
    assert values["ln_rho"][3] > LN_RHO_FLOOR
    assert all(np.isfinite(column).all() for column in values.values())


def test_level_marks_what_is_outside():
    jets = leading_jet(particles(THREE))
    columns = level(jets, np.array([300.0]), np.array([False, True, False]), prefix="reco")
    assert columns["pass_reco"].tolist() == [False, True, False]
    assert columns["reco_z_pt"].tolist() == [ABSENT, 300.0, ABSENT]
    assert columns["reco_M"].tolist() == [ABSENT, 3.0, ABSENT]
    assert ak.num(columns["reco_constituents_pt"]).tolist() == [0, 3, 0]
    assert sorted(columns["reco_constituents_pt"][1].tolist()) == pytest.approx([20.0, 80.0, 100.0])
