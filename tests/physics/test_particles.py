"""Records of Pythia as arrays: what is visible, and the last copy of a particle."""

import awkward as ak
import numpy as np
import pytest

from truthward.errors import TruthwardError
from truthward.physics.particles import last_pt, started, visible

# (PDG code, status, px, py, pz); a negative status is of what has decayed or branched.
EVENTS = [
    [(23, -22, 9.0, 0.0, 0.0), (23, -62, 3.0, 4.0, 1.0), (211, 83, 1.0, 0.0, 0.5), (12, 23, 3.0, 4.0, 1.0)],
    [],
    [(23, -62, 0.0, 7.0, 0.0), (-11, 1, 0.0, 2.0, -1.0), (22, 91, 0.01, 0.0, 8.0), (22, -91, 1.0, 1.0, 0.0)],
]


def record(events: list) -> ak.Array:
    rows = np.array([row for event in events for row in event], dtype=float).reshape(-1, 5)
    code, status, px, py, pz = rows.T
    momentum = ak.zip({"px": px, "py": py, "pz": pz, "e": np.sqrt(px**2 + py**2 + pz**2)})
    table = ak.zip({"id": code.astype(np.int32), "status": status.astype(np.int32), "p": momentum}, depth_limit=1)
    return ak.unflatten(table, [len(event) for event in events])


def test_visible_leaves_out_neutrinos_what_decayed_and_what_goes_along_the_beam():
    particles = visible(started(("HardQCD:all = on",), 1), record(EVENTS))
    assert particles.pid.tolist() == [[211], [], [-11]]
    assert particles.charge.tolist() == [[1.0], [], [1.0]]
    assert particles.py.tolist() == [[0.0], [], [2.0]]


def test_visible_of_no_particle_at_all():
    assert visible(started(("HardQCD:all = on",), 1), record([[], []])).pid.tolist() == [[], []]


def test_last_pt_is_of_the_last_copy_in_each_event():
    np.testing.assert_allclose(last_pt(record([EVENTS[0], EVENTS[2]]), 23), [5.0, 7.0])


@pytest.mark.parametrize("events", [EVENTS, EVENTS[1:], [[]]])
def test_an_event_without_the_particle_is_not_given_that_of_its_neighbour(events):
    with pytest.raises(TruthwardError, match=f"1 of {len(events)} events have no particle 23"):
        last_pt(record(events), 23)
