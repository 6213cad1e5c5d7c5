"""Sums of weights by category: refuse inputs that no method can unfold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from truthward.errors import InputError

if TYPE_CHECKING:
    from truthward.unfold.inputs.arrays import Inputs, Replica

SHRUNK = 0.1
"""Below this share of the nominal effective size, a few events dominate a variation."""
RUNAWAY = 0.2
"""Largest share of a variation's total weight for one event, unless it has this share in the nominal sample too."""
ROUNDING = 1e-9


@dataclass(frozen=True)
class Total:
    """Totals of some events: their number, sums of w, |w| and w^2, and the largest |w|."""

    count: int = 0
    sum: float = 0.0
    absolute: float = 0.0
    squares: float = 0.0
    largest: float = 0.0

    @classmethod
    def of(cls, weights: np.ndarray) -> Total:
        """The total of weights (n,)."""
        size = np.abs(weights)
        return cls(
            len(weights), float(weights.sum()), float(size.sum()), float(size @ size), float(size.max(initial=0.0))
        )

    def __add__(self, other: Total) -> Total:
        return Total(
            self.count + other.count,
            self.sum + other.sum,
            self.absolute + other.absolute,
            self.squares + other.squares,
            max(self.largest, other.largest),
        )

    @property
    def effective(self) -> float:
        """(sum |w|)^2 / sum w^2."""
        return self.absolute**2 / self.squares if self.squares else 0.0


def totals(inputs: Inputs) -> dict[str, Total]:
    """Totals of matched events, misses, fakes, background by process, and data."""
    masks = {"matched": inputs.matched, "misses": inputs.fiducial & ~inputs.pass_reco, "fakes": inputs.fakes}
    processes = inputs.backgrounds or {"": ~inputs.signal}
    masks |= {f"background {name}".rstrip(): mask & inputs.pass_reco for name, mask in processes.items()}
    return {name: Total.of(inputs.weight[mask]) for name, mask in masks.items()} | {
        "data": Total.of(inputs.data_weight)
    }


def added(one: Mapping[str, Total], other: Mapping[str, Total]) -> dict[str, Total]:
    """The totals of two blocks together."""
    return {name: one.get(name, Total()) + other.get(name, Total()) for name in dict.fromkeys([*one, *other])}


def refuse(found: Mapping[str, Total], nominal: Mapping[str, Total], replica: Replica) -> None:
    """Refuse inputs that no method can unfold.

    Args:
        found: totals of the replica; nominal: totals of the nominal inputs. For bootstraps only matched events and data
            are checked, because a small category may fluctuate below zero.

    Raises:
        InputError: a total that is negative, or background larger than the data; in a systematic also a weight that is
            much too large. The message names replica, category and what to do.
    """
    bootstrap = replica.family in ("data_bootstrap", "mc_bootstrap", "combined")
    for name, total in found.items():
        needed = name in ("matched", "data")
        negative = total.sum < -ROUNDING * total.absolute and (needed or not bootstrap)
        if negative or (needed and not total.sum > 0):
            text = f"{replica}: the {total.count} weights of {_words(name)} sum to {total.sum:.6g}"
            raise InputError(f"{text}; {_way_out(name, replica)}")
    background = sum(t.sum for name, t in found.items() if name.startswith("background"))
    if not bootstrap and background >= found["data"].sum:
        raise InputError(
            f"{replica}: the expected background is {background:.6g}, but the data are {found['data'].sum:.6g} "
            "events, so nothing is left to unfold; check the weights of both (luminosity, cross section)"
        )
    if not replica.family.startswith("systematic:"):
        return
    for name in ("matched", "misses", "fakes", *(n for n in found if n.startswith("background"))):
        mine, theirs = found[name], nominal.get(name, Total())
        if mine.count < 20 or not mine.absolute or not theirs.absolute:
            continue
        share, usual = mine.largest / mine.absolute, theirs.largest / theirs.absolute
        if mine.effective < SHRUNK * theirs.effective or share > max(RUNAWAY, 5 * usual):
            raise InputError(
                f"{replica}: the largest of the {mine.count} weights of {_words(name)} is "
                f"{mine.largest / mine.absolute * mine.count:.4g} times the mean, and the effective number of events "
                f"is {mine.effective:.4g} (nominal: {theirs.effective:.4g}), so few weights dominate; "
                f"{_way_out(name, replica)}"
            )


def _words(name: str) -> str:
    kind, _, process = name.partition(" ")
    return {"matched": "matched events", "data": "the data"}.get(name, f"{kind} {process!r}" if process else name)


def _way_out(name: str, replica: Replica) -> str:
    kind, _, systematic = replica.family.partition(":")
    if kind == "systematic":
        return f"correct the column weight:{systematic}:{replica.index}, or remove {systematic} from `systematics`"
    if kind in ("data_bootstrap", "mc_bootstrap", "combined"):
        return "there are too few events for bootstraps; use more events, or set these `unfold.replicas` to 0"
    if name == "data":
        return "correct the weights of the data; the simulated background is subtracted, not weights of the data"
    if name.startswith("background"):
        return "correct its weights, or label it in `processes` as a part of another one (as interference is)"
    return "correct the weights of the simulation, or use more events if negative weights nearly cancel them"
