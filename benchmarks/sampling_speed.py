"""Speed of sampling at equal quality: solvers with fixed steps against torchdiffeq's adaptive dopri5.

One network, flow matching on a target in six dimensions that no ellipse describes (a ring, half moons, a spiral, whose
parts know of one another), and all solvers with it. Quality is the AUC of a classifier between drawn and true events,
for each seed with events, noise and classifier of its own, the same for all solvers. The reference is rk4 with 40
steps. A solver is as good where the mean over the seeds of its AUC's excess over the reference's is not above the
spread of the reference's own AUC over the seeds. Of each solver with fixed steps the fewest that are as good are taken,
of dopri5 the loosest tolerance, next to one of 1e-5. CPU time of one thread, rates in turn and medians.

- precision: the solver of the fewest evaluations again, with a velocity in bf16.
- ensemble: ten members that all draw, in one call of `Stack.call` (stacked), one after the other by `Stack.each`, or
  with a model built for each, against one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import _common as common
import numpy as np
import torch
from torch import Tensor
from torchdiffeq import odeint

from truthward.learn.fit import Settings, fit
from truthward.learn.nets import seeded
from truthward.learn.ode import FIXED
from truthward.learn.stack import Stack
from truthward.models.flow_matching import FlowMatching
from truthward.validate.two_sample import two_sample_test

DIMENSIONS = 6
SEEDS = 2 if common.QUICK else 4
TRAINING = 20_000 if common.QUICK else 100_000
EPOCHS = 12 if common.QUICK else 40
TESTED, TEST_EPOCHS = (4_000, 6) if common.QUICK else (20_000, 10)
TIMED = 8_192 if common.QUICK else 32_768
STEPS = {"midpoint": (2, 3, 4, 5, 6, 8, 12), "heun": (2, 3, 4, 5, 6, 8, 12), "rk4": (1, 2, 3, 4, 6)}
TOLERANCES = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3)
DEFAULT = 1e-5
BATCHES = {"fp32": 2048, "bf16": 4096}


def target(n: int, seed: int) -> Tensor:
    """(n, 6), columns of about unit variance."""
    g = torch.Generator().manual_seed(seed)

    def normal(width: float) -> Tensor:
        return width * torch.randn(n, generator=g)

    angle, along = 2 * math.pi * torch.rand(n, generator=g), torch.rand(n, generator=g)
    radius = 1.35 + normal(0.06)
    ring = [radius * angle.cos(), radius * angle.sin()]
    # Which half moon is told by the side of the ring, how far along the spiral an event is by the height on it.
    side, arc = torch.where(ring[0] > 0, 1.0, -1.0), math.pi * along
    moons = [1.2 * (arc.cos() + 0.5 * side) + normal(0.07), 1.6 * side * (arc.sin() - 0.25) + normal(0.07)]
    turn = 2.0 + 2.5 * (1 + ring[1] / 1.35) + normal(0.3)
    spiral = [0.22 * turn * turn.cos() + normal(0.05), 0.22 * turn * turn.sin() + normal(0.05)]
    return torch.stack([*ring, *moons, *spiral], dim=1)


def network(**options: Any) -> FlowMatching:
    """The flow of all comparisons."""
    return seeded(1, FlowMatching, dimensions=DIMENSIONS, conditions=0, **options)


def trained() -> FlowMatching:
    """Fitted to the target."""
    model, x = network(), target(TRAINING, seed=1)
    settings = Settings(epochs=EPOCHS, batch_size=512, learning_rate=4e-3)
    fit(model, model.loss, (x, x[:, :0]), torch.ones(len(x)), settings, seed=1)
    return model.eval()


def adaptive(model: FlowMatching, noise: Tensor, tolerance: float, batch: int) -> tuple[Tensor, int]:
    """torchdiffeq's own dopri5, and how often it asked for the velocity of an event."""
    calls = 0

    def velocity(t: Tensor, x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return model.velocity(x, t.expand(len(x), 1), x[:, :0])

    with torch.inference_mode():
        parts = [
            odeint(velocity, x, x.new_tensor([0.0, 1.0]), rtol=tolerance, atol=tolerance, method="dopri5")[-1]
            for x in noise.split(batch)
        ]
    return torch.cat(parts), calls / len(parts)


def fixed(model: FlowMatching, noise: Tensor, solver: str, steps: int, precision: str = "fp32") -> Tensor:
    """What the model draws with this solver."""
    model.solver, model.steps, model.precision, model.batch = solver, steps, precision, BATCHES[precision]
    return model.sample(noise[:, :0], noise)


def aucs(draw: Callable[[Tensor], Tensor]) -> np.ndarray:
    """AUC for each seed, (SEEDS,)."""
    found = []
    for seed in range(SEEDS):
        truth, ones = target(TESTED, seed=100 + seed), np.ones(TESTED)
        drawn = draw(torch.randn(TESTED, DIMENSIONS, generator=torch.Generator().manual_seed(200 + seed)))
        tested = two_sample_test(
            truth.numpy(), ones, drawn.numpy(), ones, seeds=1, epochs=TEST_EPOCHS, seed=seed, label="sampling"
        )
        found.append(tested["auc"]["mean"])
    return np.array(found)


def seconds(draws: dict[str, Callable[[], Any]], repeats: int = 3) -> dict[str, float]:
    """Median CPU time of each, in turn."""
    found: dict[str, list[float]] = {name: [] for name in draws}
    for _ in range(repeats):
        for name, draw in draws.items():
            started = time.process_time()
            draw()
            found[name].append(time.process_time() - started)
    return {name: float(np.median(values)) for name, values in found.items()}


def solvers(model: FlowMatching) -> dict[str, Any]:
    """The fewest steps and the loosest tolerance that are as good as the reference, and their rates."""
    noise = torch.randn(TIMED, DIMENSIONS, generator=torch.Generator().manual_seed(9))
    reference = aucs(lambda z: fixed(model, z, "rk4", 40))
    spread = float(reference.std(ddof=1))
    rows: dict[str, dict[str, Any]] = {}
    draws: dict[str, Callable[[], Any]] = {}

    def judged(draw: Callable[[Tensor], Tensor]) -> dict[str, Any]:
        found = aucs(draw)
        excess = float((found - reference).mean())
        return {"auc": round(float(found.mean()), 4), "excess": round(excess, 4), "as_good": excess <= spread}

    def keep(name: str, row: dict[str, Any], draw: Callable[[], Any]) -> None:
        rows[name], draws[name] = row, draw
        print(f"{name}: {row}", flush=True)

    for solver, choices in STEPS.items():
        for steps in choices:
            row = judged(lambda z, s=solver, n=steps: fixed(model, z, s, n))
            if row["as_good"]:
                break
        row |= {"steps": steps, "evaluations": steps * FIXED[solver]}
        keep(solver, row, lambda s=solver, n=steps: fixed(model, noise, s, n))
    for tolerance in TOLERANCES:
        row = judged(lambda z, t=tolerance: adaptive(model, z, t, 2048)[0])
        if row["as_good"]:
            break
    for name, value in (("dopri5, loosest", tolerance), ("dopri5", DEFAULT)):
        if value == DEFAULT:
            row = judged(lambda z: adaptive(model, z, DEFAULT, 2048)[0])
        # It may have the batch that suits it.
        for batch in (2048, 16384):
            _, evaluations = adaptive(model, noise, value, batch)
            keep(
                f"{name}, batches of {batch}",
                {**row, "tolerance": value, "evaluations": round(evaluations, 1)},
                lambda t=value, b=batch: adaptive(model, noise, t, b),
            )
    good = [n for n in STEPS if rows[n]["as_good"]]
    best = min(good, key=lambda n: rows[n]["evaluations"])
    row = judged(lambda z: fixed(model, z, best, rows[best]["steps"], "bf16"))
    row |= {name: rows[best][name] for name in ("steps", "evaluations")}
    keep(f"{best}, bf16", row, lambda: fixed(model, noise, best, rows[best]["steps"], "bf16"))
    for name, value in seconds(draws).items():
        rows[name]["events_per_second"] = round(TIMED / value)
    rates = {name: row["events_per_second"] for name, row in rows.items()}
    loosest, default = (max(v for n, v in rates.items() if n.startswith(f"dopri5{m}, b")) for m in (", loosest", ""))
    fastest = max(good, key=lambda n: rates[n])
    return {
        "reference": {"auc": round(float(reference.mean()), 4), "spread": round(spread, 4)},
        "rows": rows,
        "fastest": fastest,
        "over_adaptive_at_1e-5": round(rates[fastest] / default, 2),
        "over_adaptive_loosest": round(rates[fastest] / loosest, 2),
        "bf16_over_fp32": round(rates[f"{best}, bf16"] / rates[best], 2),
    }


def ensemble(members: int = 10) -> list[dict[str, Any]]:
    """Ten members against one, for few and for many events from each. What they learned does not matter to the time."""
    rows = []
    for events in (256, 2048 if common.QUICK else 16_384):
        noise = torch.randn(events, DIMENSIONS)
        row: dict[str, Any] = {"members": members, "events": events}
        for precision in ("fp32", "bf16"):
            options = {"precision": precision, "batch": BATCHES[precision]}
            stack, single = Stack(lambda o=options: network(**o), list(range(members))), network(**options)

            def built(stack: Stack = stack, options: dict[str, Any] = options, noise: Tensor = noise) -> None:
                for m in range(members):
                    model = network(**options)
                    model.load_state_dict(stack.state_of(m))
                    model.sample(noise[:, :0], noise)

            def stacked(stack: Stack = stack, noise: Tensor = noise) -> None:
                for part in noise.split(512):
                    stack.call("sample", part[:, :0], part)

            draws = {
                "one": lambda m=single, z=noise: m.sample(z[:, :0], z),
                "built for each": built,
                "stacked": stacked,
                "each": lambda s=stack, z=noise: s.each("sample", z[:, :0], z),
            }
            found = seconds(draws, repeats=5)
            row[precision] = {name: round(value / found["one"], 2) for name, value in found.items() if name != "one"}
            row[precision]["events_per_second_of_one"] = round(events / found["one"])
        rows.append(row)
        print(f"ensemble: {row}", flush=True)
    return rows


def main() -> dict[str, Any]:
    """All figures."""
    torch.set_num_threads(1)
    found = solvers(trained())
    return {"seeds": SEEDS, "tested": TESTED, "training": TRAINING, **found, "ensemble": ensemble()}


if __name__ == "__main__":
    common.report("sampling_speed", main())
