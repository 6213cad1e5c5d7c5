"""The classifier test: equal samples pass, one that is shifted by 0.2 sigma in one of three observables does not."""

from __future__ import annotations

import numpy as np
import pytest

from truthward.errors import InputError
from truthward.validate import two_sample
from truthward.validate.two_sample import floor_test, tails, two_sample_test

N = 4000


def draw(seed: int, shift: float = 0.0, n: int = N) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 3)) + np.array([shift, 0.0, 0.0])


def run(p, q, w_p=None, w_q=None, **changes):
    options = {"seeds": 2, "epochs": 5, "seed": 3, "label": "test"} | changes
    one = [np.ones(len(x)) if w is None else w for x, w in ((p, w_p), (q, w_q))]
    return two_sample_test(p, one[0], q, one[1], **options)


def test_equal_samples_pass():
    found = run(draw(1), draw(2))
    assert abs(found["significance"]) < 3
    assert abs(found["jsd"]["mean"]) < 0.002
    assert found["auc_sigma"] == pytest.approx(np.sqrt(2 / N / 12))
    assert found["weights"]["q"]["mean_weight"] == pytest.approx(1, abs=0.02)
    assert found["weights"]["p"]["above_2"] < 0.01
    assert found["saturated"] == 0


def test_a_shift_is_found_and_the_weights_say_by_how_much():
    found = run(draw(1, 0.2), draw(2), epochs=8)
    assert found["significance"] > 6
    # Two normals 0.2 apart: AUC = Phi(0.2 / sqrt 2), and JSD about 0.2^2 / 8 / ln 2 bits.
    assert found["auc"]["mean"] == pytest.approx(0.5562, abs=0.02)
    assert found["ensemble"]["jsd"] == pytest.approx(0.0072, abs=0.003)
    assert sum(found["weights"]["p"]["histogram"]["fractions"]) == pytest.approx(1)
    assert found["weights"]["q"]["quantiles"]["0.99"] > 1.2


def test_weights_can_make_a_sample_right_and_events_without_them_wrong():
    q = draw(2)
    weights = np.exp(0.4 * q[:, 0] - 0.08)
    assert run(draw(1, 0.4), q)["significance"] > 10
    right = run(draw(1, 0.4), q, w_q=weights)
    assert abs(right["significance"]) < 3.5
    assert right["effective_sizes"][1] == pytest.approx(N * np.exp(-0.16), rel=0.03)


def test_the_floor_is_a_coin_toss():
    found = floor_test(draw(1), np.ones(N), seeds=3, epochs=4, seed=1, label="floor")
    assert abs(found["auc"]["mean"] - 0.5) < 4 * np.sqrt(4 / N / 12)
    assert found["effective_sizes"] == [N / 2, N / 2]
    assert len(found["jsd"]["values"]) == 3


def test_tails_by_hand():
    w = np.array([0.1, 0.4, 1.0, 3.0, 6.0])
    found = tails(np.log(w), np.array([1.0, 2.0, 3.0, 3.0, 1.0]))
    assert found["below_0.2"] == pytest.approx(0.1)
    assert found["below_0.5"] == pytest.approx(0.3)
    assert found["above_2"] == pytest.approx(0.4)
    assert found["above_5"] == pytest.approx(0.1)
    assert found["quantiles"]["0.5"] == pytest.approx(1.0)
    near = found["near_one"]
    assert (near["below"], near["above"]) == (pytest.approx(0.1), pytest.approx(0.1))
    assert sum(near["fractions"]) == pytest.approx(0.8)
    assert found["mean_weight"] == pytest.approx((0.1 + 0.8 + 3 + 9 + 6) / 10)


def test_finished_seeds_are_taken_from_the_state(tmp_path, monkeypatch):
    p, q = draw(1, n=300), draw(2, n=300)
    first = run(p, q, epochs=1, state=tmp_path)
    monkeypatch.setattr(two_sample, "two_sample_scores", lambda *a, **k: pytest.fail("trained again"))
    assert run(p, q, epochs=1, state=tmp_path) == first


def test_a_damaged_state_is_reported_and_made_anew(tmp_path, caplog):
    p, q = draw(1, n=200), draw(2, n=200)
    first = run(p, q, epochs=1, state=tmp_path)
    for number, path in enumerate(sorted(tmp_path.iterdir())):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content if number else content[:100])
    assert run(p, q, epochs=1, state=tmp_path) == first
    assert caplog.text.count("truncated or damaged") == 2


def test_saturated_scores_are_counted(monkeypatch):
    scores = np.full(30, 0.5), np.append(np.full(29, 0.5), 1.0)
    monkeypatch.setattr(two_sample, "two_sample_scores", lambda *a, **k: scores)
    found = run(draw(1, n=30), draw(2, n=30), seeds=1)
    assert found["saturated"] == 1
    assert np.isfinite(found["jsd"]["mean"])


def test_too_few_events_are_refused():
    with pytest.raises(InputError, match="at least 20"):
        run(draw(1, n=5), draw(2))
