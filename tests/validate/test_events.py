"""Which events remain does not depend on the order they come in; histograms know of all of them."""

from __future__ import annotations

import numpy as np
import pytest

from truthward.errors import InputError
from truthward.events.table import EventTable
from truthward.validate.distances import Counts
from truthward.validate.events import Events, Thinned
from truthward.validate.two_sample import ratio_of

IDS = np.random.default_rng(1).permutation(20_000).astype(np.uint64)


def thin(ids, limit, pieces=7, key=5):
    thinned = Thinned(limit, key)
    for part in np.array_split(ids, pieces):
        thinned.add(part, part.astype(float))
        assert thinned._held <= 1.25 * limit or thinned.total <= 1.25 * limit
    return thinned


def test_all_remain_in_their_order_where_they_fit():
    ids, values = thin(IDS, 20_000).columns()
    assert np.array_equal(ids, IDS)
    assert np.array_equal(values, IDS)


@pytest.mark.parametrize("limit", [1000, 19_999])
def test_those_that_remain_are_the_same_in_any_order_and_pieces(limit):
    first, second = thin(IDS, limit).columns(), thin(IDS[::-1], limit, pieces=40).columns()
    assert len(first[0]) == limit
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], first[0].astype(float))
    # Another key, other events; and neither prefers small ids.
    other = thin(IDS, limit, key=6).columns()
    assert set(other[0].tolist()) != set(first[0].tolist())
    assert abs(first[1].mean() - 10_000) < 5 * 20_000 / np.sqrt(12 * limit)


def test_histograms_and_sums_are_of_all_events(study, observables):
    table = EventTable(study.simulation())
    found = Events.accepted(table, "truth", observables, limit=500, key=1)
    inside, truth = table.level("truth", ["x", "k"])
    assert found.total == inside.sum()
    assert len(found.weights) == 500
    assert not found.whole
    for column, o in enumerate(observables):
        assert np.array_equal(
            found.histograms[o.name].contents, Counts.of(truth[inside, column], np.ones(inside.sum()), o.edges).contents
        )
    assert found.sums.summary()["sum"] == inside.sum()
    assert found.counted == {"events": int(inside.sum()), "used": 500}
    by_id = dict(zip(table.read(["event_id"])["event_id"], truth[:, 0], strict=True))
    assert [by_id[i] for i in found.ids] == found.column("x").tolist()


def test_a_table_without_an_accepted_event_is_refused(study, observables):
    path = study.write(
        "empty", {"truth_x": np.zeros(3), "truth_k": np.zeros(3), "pass_truth": np.zeros(3, bool)}, "closure_truth"
    )
    with pytest.raises(InputError, match="no event passes at truth"):
        Events.accepted(EventTable(path), "truth", observables, limit=5, key=1)


def test_a_ratio_is_known_at_events_that_no_classifier_saw(study, observables):
    p, q = (EventTable(study.simulation(n=6000, seed=s, shift=shift)) for s, shift in ((11, 0.2), (12, -0.2)))
    options = {"seeds": 2, "epochs": 6, "seed": 1, "label": "ratio"}
    near, far = Events.accepted(p, "truth", observables, limit=3000, key=1), {}
    for limit in (3000, 10**6):
        own = Events.accepted(q, "truth", observables, limit=limit, key=1)
        inside, values = q.level("truth", ["x", "k"])
        ids = q.read(["event_id"])["event_id"][inside]
        ratio = ratio_of(near, own, **options)
        far[limit] = np.log(ratio(ids, values[inside]))
        # In another order and in pieces the same events have the same ratios.
        assert np.log(ratio(ids[:10][::-1], values[inside][:10][::-1])) == pytest.approx(far[limit][:10][::-1])
        seen = np.isin(ids, own.ids)
        assert seen.sum() == len(own.ids)
        for chosen in (seen, ~seen) if limit == 3000 else (seen,):
            # x of two normals 0.4 apart: log p / q = 0.4 x.
            assert np.corrcoef(far[limit][chosen], values[inside][chosen, 0])[0, 1] > 0.9
            assert np.average(np.exp(far[limit][chosen])) == pytest.approx(1, abs=0.05)
    assert np.corrcoef(far[3000], far[10**6])[0, 1] > 0.9


@pytest.mark.parametrize("limit", [10**6, 3000])
def test_draws_of_an_event_count_as_one_event(observables, limit):
    """Each of 2000 events four times, in pieces: sizes are those of the events, and one draw of each is single."""
    rng = np.random.default_rng(2)
    ids, values, weights = np.arange(2000, dtype=np.uint64), rng.normal(size=(2000, 2)), 1.0 + rng.random(2000)
    once = Events.of([(ids, values, weights)], observables, limit=limit, key=3)
    pieces = [
        (np.tile(i, 4), np.tile(v, (4, 1)), np.tile(w, 4) / 4)
        for i, v, w in zip(*(np.array_split(a, 5) for a in (ids, values, weights)), strict=True)
    ]
    drawn = Events.of(pieces, observables, limit=limit, key=3)
    assert once.rows_an_event == 1.0
    assert drawn.rows_an_event == 4.0
    for o in observables:
        assert drawn.size(o.name) == pytest.approx(once.size(o.name))
    assert drawn.weight_summary()["effective_sample_size"] == pytest.approx(
        once.sums.summary()["effective_sample_size"]
    )
    singles, w = drawn.singles()
    assert len(singles) == len(w) == min(2000, limit // 4)
    assert len(np.unique(singles[:, 0])) == len(singles)
