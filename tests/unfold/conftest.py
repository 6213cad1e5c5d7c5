"""Toys of the Gaussian generator, whose truth is known in closed form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from truthward.physics.generators.gaussian import Gaussian
from truthward.study.observable import Observable
from truthward.unfold.inputs.arrays import Inputs

MEAN, WIDTH = 0.3, 1.15


@pytest.fixture
def toy() -> Callable[..., tuple[Inputs, Gaussian]]:
    """`toy(events=..., seed=..., **options of both generators)` -> inputs, and the generator of the data's signal.

    The data's fakes are those of the simulation, an absolute component, or where `share` follow the data's own signal.
    """

    def make(
        *, events: int = 4000, simulated: int = 12000, seed: int = 1, share: bool = False, **options
    ) -> tuple[Inputs, Gaussian]:
        rng = np.random.default_rng(seed)
        options = {"resolution": 0.4, "fakes": [0.3, 0.1]} | options
        simulation = Gaussian(**options)
        nature = Gaussian(
            mean=MEAN, width=WIDTH, **options | ({} if share else {"fakes": [0.0, 0.0], "background": 0.0})
        )
        columns = simulation.draw(simulated, rng)
        data = nature.draw(events, rng)
        columns["weight"] = columns["weight"] * nature.fiducial_yield(events) / simulation.fiducial_yield(simulated)
        if not share:
            others = simulation.draw(simulated, rng)
            fixed = others["pass_reco"] & ~(others["pass_truth"] & (others["process"] == 0))
            keep = fixed & (
                rng.random(simulated) < nature.fiducial_yield(events) / simulation.fiducial_yield(simulated)
            )
            data = {name: np.concatenate([v, others[name][keep]]) for name, v in data.items()}
        for first, sample in ((0, columns), (10**9, data)):
            sample["event_id"] = np.arange(first, first + len(sample["weight"]), dtype=np.uint64)
            sample["process"] = np.where(sample["process"] == 0, "signal", "background")
        observables = [Observable(name=n, range=(-4.0, 4.0), bins=40) for n in simulation.observables]
        return Inputs.from_columns(columns, data, observables, seed=seed), nature

    return make
