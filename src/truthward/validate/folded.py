"""The simulation at reco level with the result's truth: what the data are expected to be, event by event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from truthward.events.contract import SIGNAL
from truthward.events.table import EventTable
from truthward.validate.events import Events, Piece
from truthward.validate.refold import Ratio

if TYPE_CHECKING:
    from truthward.observable import Observable


def folded_events(
    simulation: EventTable, observables: Sequence[Observable], ratio: Ratio, scale: float, **thin: Any
) -> Events | None:
    """Reconstructed events of the simulation, the fiducial ones re-weighted; None where there is none.

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
