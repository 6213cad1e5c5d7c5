"""The simulation at reco level, re-weighted to the unfolded truth: the expected data, event by event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from truthward.events.contract import SIGNAL
from truthward.events.table import EventTable
from truthward.validate.events import Events, Piece
from truthward.validate.method.refold import Ratio

if TYPE_CHECKING:
    from truthward.study.observable import Observable


def exact_ratio(result: Events, simulated: Events) -> Ratio | None:
    """Unfolded over simulated truth, of unit area, by event, without a network: where the result lends weights to the
    simulation's own events and all are at hand; None for a result that is drawn, or of which there is a part."""
    order = np.argsort(simulated.ids)
    known = simulated.ids[order]
    place = np.minimum(np.searchsorted(known, result.ids), len(known) - 1)
    own = order[place]
    if not (result.whole and simulated.whole and np.array_equal(known[place], result.ids)):
        return None
    if len(np.unique(own)) < len(own) or not np.array_equal(result.values, simulated.values[own]):
        return None
    factor = np.zeros(len(known))
    weight = simulated.weights[own]
    factor[place] = np.divide(result.weights, weight, out=np.zeros(len(own)), where=weight != 0)
    factor *= simulated.sums.total / result.sums.total

    def ratio(ids: np.ndarray, values: np.ndarray) -> np.ndarray:
        return factor[np.searchsorted(known, ids)]

    return ratio


def folded_events(
    simulation: EventTable, observables: Sequence[Observable], ratio: Ratio, scale: float, **thin: Any
) -> Events | None:
    """Reconstructed events of the simulation, with the fiducial ones re-weighted; None if there are none.

    Args:
        ratio: unfolded over simulated truth, of unit area, see `Response.of`.
        scale: unfolded over simulated yield: fakes and background stay as they are.
        thin: limit and key of `Events.of`.
    """
    columns = {level: [f"{level}_{o.name}" for o in observables] for level in ("truth", "reco")}

    def pieces() -> Iterator[Piece]:
        more = ["pass_truth", "pass_reco", "weight", "process", "event_id"]
        for batch in simulation.batches([*columns["truth"], *columns["reco"], *more]):
            seen = batch["pass_reco"]
            matched = (batch["pass_truth"] & (batch["process"] == SIGNAL))[seen]
            ids, weight = batch["event_id"][seen], batch["weight"][seen].copy()
            truth, reco = (np.stack([batch[c][seen] for c in columns[level]], axis=1) for level in columns)
            weight[matched] *= scale * ratio(ids[matched], truth[matched])
            yield ids, reco, weight

    return Events.of(pieces(), observables, **thin)
