"""The variations in the simulation's table, as changes of the inputs of an unfolding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial

import numpy as np

from truthward.errors import ConfigError
from truthward.events.table import EventTable
from truthward.study.variations import variation_of

Vary = Callable[[int], Mapping[str, np.ndarray]]
"""For one systematic: index of the variation -> the fields of `Inputs` that it replaces."""


KEPT = 8
"""Replicas whose columns are kept in memory after they are read; a table has up to 32 bytes an event for each."""


def variations_of(
    simulation: EventTable,
    names: Sequence[str],
    rows: tuple[int, int] | None = None,
    *,
    features: Sequence[str] = (),
) -> dict[str, Vary]:
    """Systematics from the columns of the table (see `truthward.study.variations`).

    A field without a column stays nominal. names: names of the unfolded observables; features: columns that networks
    see in addition at reco level. rows: first and end of the varied rows; None: all.
    """
    found = {v.systematic for c in simulation.columns if (v := variation_of(c))}
    first, end = rows or (0, simulation.num_rows)

    # A method asks for the same replica several times: its totals, its events, the acceptance of its stack.
    @lru_cache(maxsize=KEPT)
    def read(systematic: str, index: int) -> dict[str, np.ndarray]:
        def own(base: str) -> str:
            column = f"{base}:{systematic}:{index}"
            return column if column in simulation.columns else base

        others = [name for name in ("pass_reco", "weight") if own(name) != name]
        if not any(c.endswith(f":{systematic}:{index}") for c in simulation.columns):
            raise ConfigError(
                f"{simulation.path}: no replica {index} of the systematic {systematic!r}; set fewer `replicas`"
            )
        changed = {name: simulation.between(first, end, [own(name)])[own(name)] for name in others}
        for field, each in (("reco", names), ("features", features)):
            recos = [own(f"reco_{n}") for n in each]
            if any(":" in c for c in recos):
                columns = simulation.between(first, end, recos)
                changed[field] = np.stack([columns[c] for c in recos], axis=1)
        for values in changed.values():
            values.flags.writeable = False
        return changed

    return {systematic: partial(read, systematic) for systematic in sorted(found)}
