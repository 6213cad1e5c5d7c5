"""A student that draws in one step (`models.consistency`) beside its teacher: quality, rate and time of training.

The teacher is the flow matching of `sampling_speed`, with its target in six dimensions, solver and number of steps by
default. For each seed teacher and student are trained anew. Quality is the AUC of a classifier between drawn and true
events, the same for both, with the same noise. The distance is the root of the mean square between the student's events
and the teacher's, in columns of about unit variance. The floor is the AUC between two samples of true events. CPU time
of one thread, rates in turn and medians.
"""

from __future__ import annotations

import time
from typing import Any

import _common as common
import numpy as np
import torch
from sampling_speed import DIMENSIONS, seconds, target
from torch import Tensor

from truthward.learn.distil import distil
from truthward.learn.fit import Settings, fit
from truthward.learn.stack import Stack
from truthward.models.consistency import Consistency
from truthward.validate.two_sample import two_sample_test

SEEDS = 2 if common.QUICK else 4
TRAINING, EPOCHS = (10_000, 8) if common.QUICK else (50_000, 40)
TESTED, TEST_EPOCHS = (4_000, 4) if common.QUICK else (20_000, 8)
TIMED = 8_192 if common.QUICK else 32_768
STUDENT = {"pairs": 10_000, "epochs": 5} if common.QUICK else {}
"""Options of the student; in full those by default."""


def network() -> Consistency:
    """Teacher and student, untrained."""
    return Consistency(dimensions=DIMENSIONS, conditions=0, **STUDENT)


def auc(drawn: Tensor, seed: int) -> float:
    """Of a classifier between drawn and true events."""
    truth, ones = target(TESTED, seed=100 + seed), np.ones(TESTED)
    return two_sample_test(
        truth.numpy(), ones, drawn.numpy(), ones, seeds=1, epochs=TEST_EPOCHS, seed=seed, label="one step"
    )["auc"]["mean"]


def one(seed: int) -> dict[str, Any]:
    """Train both, and compare them."""
    stack, x = Stack(network, [seed]), target(TRAINING, seed=seed)
    nothing, ones = x[:, :0], torch.ones(TRAINING, 1)
    settings = Settings(epochs=EPOCHS, batch_size=512, learning_rate=4e-3)
    times = [time.process_time()]
    fit(stack, lambda x, given: stack.call("loss", x, given), (x, nothing), ones, settings, seed=seed)
    times.append(time.process_time())
    distil(stack, nothing, ones, seed=seed)
    times.append(time.process_time())
    model = network()
    model.load_state_dict(stack.state_of(0))
    model.eval()
    noise = torch.randn(TIMED, DIMENSIONS, generator=torch.Generator().manual_seed(200 + seed))
    given = noise[:, :0]
    drawn = {"teacher": model.taught(given, noise), "student": model.sample(given, noise)}
    taken = seconds(
        {"teacher": lambda: model.taught(given, noise), "student": lambda: model.sample(given, noise)}, repeats=5
    )
    return {
        "auc": {name: auc(events[:TESTED], seed) for name, events in drawn.items()}
        | {"floor": auc(target(TESTED, seed=300 + seed), seed)},
        "distance": float((drawn["student"] - drawn["teacher"]).square().mean().sqrt()),
        "events_per_second": {name: round(TIMED / value) for name, value in taken.items()},
        "training_seconds": {"teacher": times[1] - times[0], "student": times[2] - times[1]},
    }


def main() -> dict[str, Any]:
    """All seeds, and their means."""
    torch.set_num_threads(1)
    rows = []
    for seed in range(SEEDS):
        rows.append(one(seed))
        print(f"seed {seed}: {rows[-1]}", flush=True)
    excess = np.array([r["auc"]["student"] - r["auc"]["teacher"] for r in rows])
    faster = [r["events_per_second"]["student"] / r["events_per_second"]["teacher"] for r in rows]
    return {
        "seeds": SEEDS,
        "tested": TESTED,
        "training": TRAINING,
        "rows": rows,
        "excess": {"mean": round(float(excess.mean()), 4), "spread": round(float(excess.std(ddof=1)), 4)},
        "faster": round(float(np.median(faster)), 2),
    }


if __name__ == "__main__":
    common.report("one_step", main())
