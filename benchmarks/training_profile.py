"""Where the time of a training of OmniFold's default network goes, by operator, and the rate beside bare products.

The same training runs twice: with its passes written out (`learn.dense`), which is how it trains, and with automatic
derivatives, which all other networks use. Times of steps are medians of CPU time on one thread, in turn with the bare
matrix products of the same shapes; so no run gets the quieter machine. The profiles are those of torch's profiler: the
median own time of an operator's calls, times their number, of operators that are called in each step. It measures wall
time, and its own cost is included.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import _common as common
import numpy as np
import torch
from omnifold_speed import bare
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from truthward.learn.fit import Settings, fit
from truthward.ratio.classifier import ratio_loss, stack_of
from truthward.study.plugins import build

STEPS, REPEATS = (20, 3) if common.QUICK else (100, 15)
MEMBERS = (1, 5) if common.QUICK else (1, 25)
KEPT = 12
"""Number of operators with a row of their own."""
INPUTS = 6

RECIPE = build("unfold", {"kind": "omnifold"}).recipe
NETWORK = {n: RECIPE.network[n] for n in ("width", "depth", "activation")}
SIZES = [INPUTS, *[NETWORK["width"]] * NETWORK["depth"], 1]
BATCH = RECIPE.training.batch_size


def training(members: int, steps: int, *, written: bool) -> Callable[[], Any]:
    """One epoch of `members` classifiers in a stack, with passes written out or automatic derivatives."""
    random = torch.Generator().manual_seed(1)
    x = torch.randn(BATCH * steps, INPUTS, generator=random)
    target = (torch.arange(len(x)) % 2).float()
    weights = torch.poisson(torch.ones(len(x), members), generator=random)
    stack = stack_of(INPUTS, [1] * members, **NETWORK)
    loss = ratio_loss(stack)

    def automatic(x: Tensor, target: Tensor) -> Tensor:
        return loss(x, target)

    settings = Settings(epochs=1, batch_size=BATCH)
    return lambda: fit(stack, loss if written else automatic, (x, target), weights, settings, seed=1)


def step_times(members: int) -> dict[str, float]:
    """Microseconds of a step and member."""
    steps = max(2, STEPS // members)
    runs = {"written out": training(members, steps, written=True), "automatic": training(members, steps, written=False)}
    found: dict[str, list[float]] = {"bare products": [], **{n: [] for n in runs}}
    for repeat in range(REPEATS + 1):
        found["bare products"].append(1e6 * bare(SIZES, BATCH, STEPS, torch.float32, time.process_time))
        for name, run in runs.items():
            started = time.process_time()
            run()
            found[name].append((time.process_time() - started) / steps / members * 1e6)
        if repeat == 0:
            found = {n: [] for n in found}
    return {n: round(float(np.median(v)), 1) for n, v in found.items()}


def operators(*, written: bool) -> list[dict[str, Any]]:
    """Own time and calls of each operator in a step, the largest first; what is left is one row."""
    run = training(1, STEPS, written=written)
    run()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        run()
    calls: dict[str, list[float]] = defaultdict(list)
    for event in profiled.events():
        calls[event.name].append(event.self_cpu_time_total)
    # Medians: a call in which another process had the processor counts as any other. Of the few calls of an epoch,
    # such as the drawing of its order, there is no median.
    every = {n: t for n, t in calls.items() if len(t) >= STEPS}
    rows = sorted(((n, float(np.median(t)) * len(t), len(t)) for n, t in every.items()), key=lambda row: -row[1])
    total = sum(own for _, own, _ in rows)
    found = [*rows[:KEPT], ("all others", sum(r[1] for r in rows[KEPT:]), sum(r[2] for r in rows[KEPT:]))]
    return [
        {
            "operator": name,
            "microseconds": round(own / STEPS, 1),
            "share": round(own / total, 3),
            "calls": round(number / STEPS, 1),
        }
        for name, own, number in found
    ]


def main() -> dict[str, Any]:
    """Times of steps and both profiles."""
    torch.set_num_threads(1)
    figures: dict[str, Any] = {"network": NETWORK, "batch": BATCH, "steps": {}, "operators": {}}
    for members in MEMBERS:
        figures["steps"][str(members)] = found = step_times(members)
        print(f"stack of {members}, microseconds of a step and member: {json.dumps(found)}", flush=True)
    for name, written in (("written out", True), ("automatic", False)):
        figures["operators"][name] = rows = operators(written=written)
        print(f"{name}:")
        for row in rows:
            print(f"  {row['operator'][:50]:50s} {row['microseconds']:8.1f} us {row['share']:6.1%} {row['calls']:6.1f}")
    return figures


if __name__ == "__main__":
    common.report("training_profile", main())
