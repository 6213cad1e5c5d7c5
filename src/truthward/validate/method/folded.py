"""The expected data, event by event: the simulation at reco level, re-weighted to the unfolded truth."""

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
    """The ratio of unfolded to simulated truth of each event, both of unit area, without a network.

    It exists if the result has weights for the simulated events, and all events are there. It is None for drawn
    results, and if there is only a part of the events.
    """
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
    """Reconstructed events of the simulation. The fiducial events are re-weighted. None if there are no events.

    Args:
        ratio: ratio of unfolded to simulated truth, both of unit area, see `Response.of`.
        scale: ratio of unfolded to simulated yield. Fakes and background do not change.
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
