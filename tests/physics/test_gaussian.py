"""The Gaussian generator keeps its promises, each in closed form."""

import numpy as np
import pytest

from truthward.errors import ConfigError
from truthward.physics.generators.gaussian import Gaussian
from truthward.physics.observables import ABSENT

N = 200_000


def draw(seed: int = 5, events: int = N, **options) -> tuple[Gaussian, dict]:
    generator = Gaussian(**options)
    return generator, generator.draw(events, np.random.default_rng(seed))


@pytest.mark.parametrize("mean", [-0.7, 0.0, 0.7])
def test_truth_is_normal_whatever_is_lost(mean):
    g, d = draw(mean=mean, width=1.3, background=0.1)
    x = d["truth_x0"][d["pass_truth"]].astype(float)
    assert x.mean() == pytest.approx(g.mean[0], abs=4 * 1.3 / np.sqrt(len(x)))
    assert x.std() == pytest.approx(g.width[0], abs=4 * 1.3 / np.sqrt(2 * len(x)))
    edges = np.array([-np.inf, -1.0, 0.0, 0.5, 1.0, np.inf])
    p = g.truth_probability(edges)
    assert p.sum() == pytest.approx(1.0)
    chi2 = ((np.histogram(x, edges)[0] - len(x) * p) ** 2 / (len(x) * p)).sum()
    assert chi2 < 20
    # Negative control: the same test refuses a mean that is off by 0.02.
    q = Gaussian(mean=mean + 0.02, width=1.3).truth_probability(edges)
    assert ((np.histogram(x, edges)[0] - len(x) * q) ** 2 / (len(x) * q)).sum() > 20


@pytest.mark.parametrize("mean", [-1.0, 0.0, 1.0])
def test_misses_and_fakes_are_as_stated(mean):
    g, d = draw(mean=mean)
    truth, reco = d["pass_truth"], d["pass_reco"]
    for got, stated in ((np.mean(~reco[truth]), g.miss_fraction), (np.mean(~truth[reco]), g.fake_fraction)):
        assert 0.05 < stated < 0.20
        assert got == pytest.approx(stated, abs=0.004)


def test_misses_and_fakes_depend_on_the_truth():
    _, d = draw()
    truth, reco = d["pass_truth"], d["pass_reco"]
    high = d["truth_x0"][truth] > 0.5
    missed = ~reco[truth]
    assert missed[~high].mean() > 1.4 * missed[high].mean()
    high = d["reco_x0"][reco] > 0.5
    fake = ~truth[reco]
    assert fake[~high].mean() > 1.4 * fake[high].mean()


def test_share_of_fakes_at_a_reco_value_is_that_of_any_prior():
    """The property that makes the answer recoverable: the fake share by reco value does not know the prior."""
    for options in ({"mean": -0.5, "width": 0.8}, {"mean": 0.6, "width": 1.2}):
        g, d = draw(**options)
        reco = d["pass_reco"]
        r, fake = d["reco_x0"][reco], ~d["pass_truth"][reco]
        for low in (-1.0, 0.0, 1.0):
            inside = (r > low) & (r < low + 0.2)
            expected = g.fake_share_at(np.array([low + 0.1]))[0]
            assert fake[inside].mean() == pytest.approx(expected, abs=4 * np.sqrt(expected / inside.sum()))


def test_response():
    _, d = draw(bias=0.2, resolution=0.3)
    both = d["pass_truth"] & d["pass_reco"]
    shift = (d["reco_x0"] - d["truth_x0"])[both].astype(float)
    assert shift.mean() == pytest.approx(0.2, abs=0.005)
    assert shift.std() == pytest.approx(0.3, abs=0.005)


def test_background_has_its_share_label_and_no_truth():
    _, d = draw(background=0.2, background_mean=1.0, background_width=0.5)
    background = d["process"] == 1
    assert background.mean() == pytest.approx(0.2, abs=0.005)
    assert not d["pass_truth"][background].any()
    assert d["pass_reco"][background].all()
    r = d["reco_x0"][background].astype(float)
    assert (r.mean(), r.std()) == (pytest.approx(1.0, abs=0.02), pytest.approx(0.5, abs=0.02))


def test_signed_weights_change_no_expectation():
    g, d = draw(negative_weights=0.2, expected=1e4, mean=0.3)
    w, truth = d["weight"], d["pass_truth"]
    assert np.mean(w < 0) == pytest.approx(0.2, abs=0.005)
    assert w.sum() == pytest.approx(1e4, rel=0.02)
    assert w[truth].sum() == pytest.approx(g.fiducial_yield(), rel=0.02)
    x = d["truth_x0"][truth].astype(float)
    assert np.average(x, weights=w[truth]) == pytest.approx(0.3, abs=0.03)
    # Negative control: without the signs the yield is too large.
    assert np.abs(w).sum() > 1.5e4


def test_yield_without_a_scale():
    g, d = draw(background=0.1)
    assert set(d["weight"].tolist()) == {1.0}
    assert d["weight"][d["pass_truth"]].sum() == pytest.approx(g.fiducial_yield(N), rel=0.01)
    with pytest.raises(ConfigError, match="expected"):
        g.fiducial_yield()


def test_blocks_of_a_sample_add_up():
    g = Gaussian(expected=500.0)
    total = sum(g.block(100, total=400, seed=s)["weight"].sum() for s in range(4))
    assert total == pytest.approx(500.0)


def test_dimensions_are_independent_and_take_lists():
    g, d = draw(dimensions=3, mean=[0.0, 1.0, -2.0], width=[1.0, 0.5, 2.0], events=100_000)
    assert g.observables == ("x0", "x1", "x2")
    x = np.stack([d[f"truth_x{i}"][d["pass_truth"]] for i in range(3)], axis=1).astype(float)
    np.testing.assert_allclose(x.mean(axis=0), g.mean, atol=0.03)
    np.testing.assert_allclose(x.std(axis=0), g.width, atol=0.03)
    assert np.abs(np.corrcoef(x.T) - np.eye(3)).max() < 0.02


def test_columns_are_those_of_every_generator():
    _, d = draw(events=1000)
    for level in ("truth", "reco"):
        column = d[f"{level}_x0"]
        assert column.dtype == np.float32
        assert (column[~d[f"pass_{level}"]] == np.float32(ABSENT)).all()
    assert (d["pass_truth"] | d["pass_reco"]).all()


@pytest.mark.parametrize("off", [{"fakes": [0.0, 0.0]}, {"efficiency": [1.0, 1.0]}])
def test_effects_switch_off(off):
    g, d = draw(events=5000, **off)
    if "fakes" in off:
        assert g.fake_fraction == 0.0
        assert d["pass_truth"].all()
    else:
        assert g.miss_fraction == pytest.approx(0.0)
        assert d["pass_reco"].all()


def test_same_seed_same_events():
    first, again, other = (Gaussian().block(100, total=100, seed=s)["truth_x0"].tolist() for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_no_events_is_no_error():
    assert len(Gaussian().draw(0, np.random.default_rng(0))["weight"]) == 0


@pytest.mark.parametrize(
    "options",
    [
        {"dimensions": 11},
        {"mean": [0.0, 1.0]},
        {"width": 0.0},
        {"fakes": [0.1]},
        {"background": 1.0},
        {"negative_weights": 0.5},
        {"efficiency": [0.0, 0.0]},
    ],
)
def test_senseless_options_are_refused(options):
    with pytest.raises(ConfigError):
        Gaussian(**options)


PARAMETERS = {"bias": 0.1, "resolution": 0.2, "mean": 0.15, "background": 0.4}


@pytest.mark.parametrize("index", [0, 1])
def test_a_variation_is_the_sample_of_another_generator(index):
    """In closed form: reco of matched events, weights of signal and of background, each from a parameter's shift."""
    sign = 1 - 2 * index
    options = {"background": 0.1, "background_width": 0.5, "negative_weights": 0.1, "bias": 0.2, "resolution": 0.5}
    _, d = draw(
        **options, systematics={"jes": {"bias": 0.1, "resolution": 0.2}, "th": {"mean": 0.15, "background": 0.4}}
    )
    shifted, weight = d[f"reco_x0__jes__{index}"], d[f"weight__th__{index}"]
    background, both = d["process"] == 1, d["pass_truth"] & d["pass_reco"]
    response = (shifted - d["truth_x0"])[both].astype(float)
    assert response.mean() == pytest.approx(0.2 + sign * 0.1, abs=0.006)
    assert response.std() == pytest.approx(0.5 * (1 + sign * 0.2), abs=0.006)
    assert np.allclose((shifted - d["reco_x0"])[background], sign * 0.1, atol=1e-5)
    assert (shifted[~d["pass_reco"]] == ABSENT).all()
    np.testing.assert_allclose(weight[background], d["weight"][background] * (1 + sign * 0.4))
    truth = d["pass_truth"]
    assert np.average(d["truth_x0"][truth], weights=weight[truth]) == pytest.approx(sign * 0.15, abs=0.015)
    assert weight[truth].sum() == pytest.approx(d["weight"][truth].sum(), rel=0.01)
    fakes = d["pass_reco"] & ~truth & ~background
    other = Gaussian(**options | {"mean": sign * 0.15})
    stated = other._fakes_per_fiducial() * weight[truth].sum()
    assert weight[fakes].sum() == pytest.approx(stated, rel=0.04)
    # Negative control: the nominal weights miss it.
    assert abs(d["weight"][fakes].sum() / stated - 1) > 0.03


def test_variations_leave_the_nominal_events_alone():
    _, plain = draw(events=1000, dimensions=2)
    _, varied = draw(events=1000, dimensions=2, systematics={"all": PARAMETERS})
    for name, values in plain.items():
        np.testing.assert_array_equal(varied[name], values)
    assert set(varied) - set(plain) == {
        f"{base}__all__{i}" for base in ("reco_x0", "reco_x1", "weight") for i in range(2)
    }


@pytest.mark.parametrize("sizes", [{}, {"scale": 0.1}, {"resolution": 1.5}])
def test_senseless_variations_are_refused(sizes):
    with pytest.raises(ConfigError, match=r"systematics\.jes"):
        Gaussian(systematics={"jes": sizes})


@pytest.mark.parametrize("mean", [0.0, 0.8])
def test_what_leaks_from_a_hidden_dimension_moves_and_smears_the_first(mean):
    options = {"dimensions": 2, "mean": [0.3, mean], "width": [1.0, 1.2], "resolution": 0.5, "leak": 0.6}
    g, d = draw(**options, efficiency=[1.0, 1.0], fakes=[0.0, 0.0], systematics={"jer": {"resolution": 0.2}})
    x, r = d["truth_x0"].astype(float), d["reco_x0"].astype(float)
    sigma = np.hypot(0.5, 0.6 * 1.2)
    assert (r - x).mean() == pytest.approx(0.6 * mean, abs=4 * sigma / np.sqrt(N))
    assert (r - x).std() == pytest.approx(sigma, abs=4 * sigma / np.sqrt(2 * N))
    # At fixed hidden truth the smearing is the detector's, and a varied resolution varies this alone.
    rest = r - x - 0.6 * d["truth_x1"]
    np.testing.assert_allclose(d["reco_x0__jer__0"] - r, 0.2 * rest, atol=1e-5)
    assert rest.std() == pytest.approx(0.5, abs=0.004)
    g, d = draw(**options)
    assert np.mean(~d["pass_reco"][d["pass_truth"]]) == pytest.approx(g.miss_fraction, abs=0.004)
    assert np.mean(~d["pass_truth"][d["pass_reco"]]) == pytest.approx(g.fake_fraction, abs=0.004)
    with pytest.raises(ConfigError, match="at least 2 dimensions"):
        Gaussian(leak=0.5)
