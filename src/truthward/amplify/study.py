"""Study on a known target: how far beyond its training statistics it is useful to sample a generative model."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from truthward.amplify.target import ModulatedRing, Regions
from truthward.amplify.worth import worth
from truthward.events.bootstrap import poisson_weights
from truthward.learn.fit import Settings
from truthward.learn.members import train_members
from truthward.learn.stack import Stack
from truthward.records.amplify import AmplificationStudy, CurvePoint, Studied
from truthward.run.artefact import write_json
from truthward.run.provenance import Record
from truthward.study import plugins
from truthward.study.generative_members import Uncertainty
from truthward.study.seeds import seed_for

log = logging.getLogger("truthward.amplify")

Draw = Callable[[int, torch.Generator], Tensor]
"""(number of events of each member, generator) -> points (S, events, 2) of all S = T x E members."""


def amplification_study(
    model: dict[str, Any],
    *,
    training_sets: int,
    training_events: int,
    uncertainty: Uncertainty,
    multiples: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0),
    steps: int,
    batch_size: int = 125,
    learning_rate: float = 1e-2,
    seed: int,
    state: Path | None = None,
    key: str = "",
) -> Studied:
    """Train T ensembles on T independent sets of the modulated ring and compare region integrals with the exact ones.

    Members are made as for the surrogate; `uncertainty` gives their number and kind. Two controls use the same
    formulas. One draws from the bootstrapped training events: nothing is learned, so G is at most 1. The other draws
    from the truth: each event counts as one, so G is the multiple.

    Args:
        model: entry of the config.
        training_sets: T.
        training_events: number of events in each set.
        uncertainty: number E and kind of the members.
        multiples: numbers of drawn events for each event of training, the points of the curve.
        steps: number of steps of the optimiser. Too few steps leave a bias, which makes the MSE larger.
        state: folder for resume state; `key` is the digest of spec and code.

    Returns:
        {target, regions, curve, bootstrap_control, truth_control: `worth` for each multiple; options; seconds}.
    """
    started = time.perf_counter()
    target = ModulatedRing()
    regions = Regions(target)
    generator = torch.Generator().manual_seed(seed_for(seed, "amplify", "target"))
    sets = torch.stack([target.sample(training_events, generator) for _ in range(training_sets)])
    members = uncertainty.members
    weights = torch.from_numpy(bootstraps(training_sets, training_events, members, seed))
    epochs = math.ceil(steps / math.ceil(training_events / batch_size))
    settings = Settings(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate)
    stack = train(sets, weights, model, uncertainty, settings, seed=seed, state=state, key=key)
    size = len(weights)

    def truth(events: int, generator: torch.Generator) -> Tensor:
        return target.sample(size * events, generator).reshape(size, events, 2)

    def memory(events: int, generator: torch.Generator) -> Tensor:
        rows = torch.multinomial(weights, events, replacement=True, generator=generator)
        return sets.repeat_interleave(members, 0).gather(1, rows[:, :, None].expand(-1, -1, 2))

    def learned(events: int, generator: torch.Generator) -> Tensor:
        # Each member has its own noise: with the same noise, a common fluctuation would look like truth.
        noise = torch.randn(size, events, 2, generator=generator)
        with torch.no_grad():
            return stack.call("sample", torch.empty(events, 0), noise, own=(False, True))

    def curve(draw: Draw, name: str) -> list[CurvePoint]:
        return amplification_curve(
            draw, regions, training_sets, training_events, multiples, seed=seed_for(seed, "amplify", name)
        )

    result: Studied = {
        "target": {
            "name": "modulated ring",
            "radius": target.radius,
            "width": target.width,
            "modulation": target.modulation,
            "lobes": target.lobes,
        },
        "regions": {"radial": regions.radial, "angular": regions.angular},
        "training_sets": training_sets,
        "training_events": training_events,
        "members": members,
        "uncertainty": uncertainty.model_dump(),
        "steps": steps,
        "model": model,
        "curve": curve(learned, "learned"),
        "bootstrap_control": curve(memory, "memory"),
        "truth_control": curve(truth, "truth"),
        "seconds": 0.0,
    }
    for point in result["curve"]:
        g, c = point["G"], point["calibration"]
        log.info(
            "amplify: %d events drawn: G = %.2f +- %.2f, true over stated MSE %.2f +- %.2f",
            point["drawn"],
            g["value"],
            g["sigma"],
            c["value"],
            c["sigma"],
        )
    result["seconds"] = round(time.perf_counter() - started, 2)
    return result


def study_stage(
    model: dict[str, Any], *, state: Path, key: str, record: Record, output: str | Path, **options: Any
) -> AmplificationStudy:
    """Write `amplification_study(model, **options)` with its provenance as JSON, and return it."""
    found = amplification_study(model, state=state, key=key, **options)
    content: AmplificationStudy = {**found, "provenance": record.finish()}
    write_json(output, content)
    return content


def amplification_curve(
    draw: Draw, regions: Regions, sets: int, trained: int, multiples: tuple[float, ...], *, seed: int, rows: int = 512
) -> list[CurvePoint]:
    """`worth` at each multiple of the training events; a larger sample contains the smaller ones.

    Args:
        draw: gives points of all T x E members.
        regions: cells and their exact probabilities.
        sets: T.
        trained: number of events in a training set.
        multiples: in ascending order.
        rows: number of events drawn from each member at a time.
    """
    generator = torch.Generator().manual_seed(seed)
    p = regions.probabilities().numpy()
    total: np.ndarray | None = None
    drawn = 0
    points: list[CurvePoint] = []
    for multiple in sorted(multiples):
        # The first draw shows the number of members.
        if total is None:
            first = draw(1, generator)
            members = first.shape[0] // sets
            total = np.zeros((len(first), len(p)))
        wanted = max(round(multiple * trained / members), 2)
        while drawn < wanted:
            step = min(rows, wanted - drawn)
            total += regions.fractions(draw(step, generator)).numpy() * step
            drawn += step
        fractions = (total / drawn).reshape(sets, members, len(p))
        points.append({"multiple": multiple, **worth(fractions, p, trained=trained, drawn=drawn, seed=seed)})
    return points


def bootstraps(sets: int, events: int, members: int, seed: int) -> np.ndarray:
    """Poisson weights (T x E, N) float32 of the bootstrap of each member."""
    identity = np.arange(events, dtype=np.uint64)
    return np.stack(
        [
            poisson_weights(identity, seed=seed, family=f"amplify:{t}", index=m)
            for t in range(sets)
            for m in range(members)
        ]
    )


def train(
    sets: Tensor,
    weights: Tensor,
    model: dict[str, Any],
    uncertainty: Uncertainty,
    settings: Settings,
    *,
    seed: int,
    state: Path | None,
    key: str,
) -> Stack:
    """One stack of T x E members on sets (T, N, 2), with bootstraps (T x E, N) if `uncertainty` asks for them."""
    count, (events, dimensions) = len(sets) * uncertainty.trainings, sets.shape[1:]
    if uncertainty.kind != "ensemble" or not uncertainty.bootstrap:
        weights = torch.ones(count, events)

    def factory() -> nn.Module:
        return plugins.build("models", model, dimensions=dimensions, conditions=0)

    return train_members(
        factory,
        uncertainty,
        sets.movedim(1, 0).contiguous(),
        torch.empty(events, 0),
        weights.T.contiguous(),
        settings,
        events=events,
        seeds=[seed_for(seed, "amplify", "initial", i) for i in range(count)],
        seed=seed_for(seed, "amplify", "fit"),
        label=f"amplification study, {count} networks",
        state=state / "study.pt" if state else None,
        state_key=key,
    )[0]
