"""Trainings on a GPU: the same losses as on a CPU, and how fast. It needs torch, numpy and this checkout, nothing else.

    python benchmarks/gpu.py [--out FILE] [--seconds 330] [--small]

- parity: every trained piece for a few epochs on the CPU and on the GPU, from equal weights and with equal batches. The
  mean losses of all epochs agree within `TOLERANCE`, or the command ends with an error.
- products: rate of one large product of matrices, fp32 and bf16, that the rates below are compared with.
- omnifold: OmniFold's network on events that lie in the memory of the GPU.
- replicas: 100 replicas trained together in stacks, against as many trainings of one.
- models: training and sampling of flow matching, dense and as a transformer.
- streaming: blocks of events from pinned memory of the host, against the same events in the memory of the GPU.

Each part has a share of the time. What would take longer than what is left of it is cut, and the table says so. Without
a GPU everything runs on the CPU, with few events: this tests the command and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import numpy as np
import torch
from torch import Tensor, nn

from truthward.learn import fit as loop
from truthward.learn.fit import History, Settings, fit, fit_source
from truthward.learn.source import Stream
from truthward.learn.stack import Stack
from truthward.models.flow_matching import FlowMatching
from truthward.models.transformer_flow_matching import TransformerFlowMatching
from truthward.ratio.classifier import ratio_loss, stack_of
from truthward.ratio.constituents import JetScaling
from truthward.ratio.reweight import mean_loss

TOLERANCE = 1e-3
"""Largest relative difference of a mean loss. Sums of fp32 in another order differ by 1e-6 a step, and training
amplifies this."""

SHARES = {"parity": 0.2, "products": 0.03, "omnifold": 0.32, "replicas": 0.15, "models": 0.18, "streaming": 0.12}
"""Share of each part in the time; what a part leaves over goes to the later ones."""

FEATURES, WIDTH, DEPTH = 6, 64, 2
"""OmniFold's network by default."""
OPERATIONS = (
    6 * sum(i * o for i, o in pairwise([FEATURES, *[WIDTH] * DEPTH, 1])) - 2 * FEATURES * WIDTH
)  # Forward, and backward to weights and inputs, but not to those of the first layer.
"""Floating-point operations of a training step for each event."""

Row = dict[str, Any]


class Clock:
    """What is left of the time of a part."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds."""
        return self.end - time.monotonic()


class Bench:
    """The device, and whether few events are enough."""

    def __init__(self, device: torch.device, small: bool) -> None:
        self.device, self.small = device, small

    def wait(self) -> None:
        """Until the device has done all."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def timed(self, act: Callable[[], Any]) -> float:
        """Seconds of a call, with all that it starts on the device."""
        self.wait()
        started = time.perf_counter()
        act()
        self.wait()
        return time.perf_counter() - started

    def memory(self) -> float:
        """Largest memory in GB since the last call; 0 on a CPU."""
        if self.device.type != "cuda":
            return 0.0
        found = torch.cuda.max_memory_allocated(self.device) / 2**30
        torch.cuda.reset_peak_memory_stats(self.device)
        return found

    def events(self, number: int, columns: int = FEATURES, *, seed: int = 1) -> tuple[Tensor, Tensor]:
        """Normal columns (N, columns) of two classes that are 0.3 apart, and the class (N,), on the device."""
        random = torch.Generator(self.device).manual_seed(seed)
        x = torch.randn(number, columns, generator=random, device=self.device)
        target = (torch.arange(number, device=self.device) % 2).float()
        x[:, 0] += 0.3 * target
        return x, target

    def train(self, stack: Stack, loss: Any, data: tuple[Tensor, ...], weights: Tensor, settings: Settings) -> History:
        """`fit` on the device of this run."""
        loop.training_device = lambda: self.device  # type: ignore[assignment]
        return fit(stack, loss, data, weights, settings, seed=1, label="gpu")


def fixed_noise(stack: Stack) -> Callable[..., Tensor]:
    """The loss of flow matching at given times and noise: devices draw other random numbers from the same seed."""

    def loss(x: Tensor, condition: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        at = (1.0 - t) * noise + t * x
        model: Any = stack.template
        if isinstance(model, TransformerFlowMatching):
            with stack._lent(0):
                predicted = model.velocity(at, t, model.encode(condition))[None]
        else:
            predicted = stack.call("velocity", at, t, condition)
        return (predicted - (x - noise)).square().mean(-1)

    return loss


def jets(number: int, particles: int = 20) -> Tensor:
    """Constituents (N, P, 4): pt, eta, phi and kind, of numbers that differ; the rest is padding."""
    random = torch.Generator().manual_seed(3)
    pt = 20.0 * torch.rand(number, particles, generator=random) + 0.5
    angles = 0.3 * torch.randn(number, particles, 2, generator=random)
    kind = torch.randint(1, 4, (number, particles), generator=random).float()
    x = torch.cat([pt[..., None], angles, kind[..., None]], dim=-1)
    lengths = torch.randint(2, particles + 1, (number, 1), generator=random)
    return x * (torch.arange(particles) < lengths)[..., None]


def pieces(number: int) -> Iterator[tuple[str, Callable[[], tuple[Stack, Any]], tuple[Tensor, ...], int]]:
    """Name, stack with its loss, data and members of every trained piece."""
    cpu = Bench(torch.device("cpu"), True)
    x, target = cpu.events(number)
    random = torch.Generator().manual_seed(2)

    def classifier(members: int) -> tuple[Stack, Any]:
        stack: Stack = stack_of(FEATURES, list(range(1, members + 1)), width=WIDTH, depth=DEPTH)
        return stack, ratio_loss(stack)

    def means() -> tuple[Stack, Any]:
        stack: Stack = stack_of(FEATURES, [1, 2], width=WIDTH, depth=DEPTH)
        return stack, mean_loss(stack)

    def flow(kind: type[Any]) -> tuple[Stack, Any]:
        stack: Stack = Stack(lambda: kind(dimensions=4, conditions=2, width=32), [1])
        return stack, fixed_noise(stack)

    def sets(kind: str) -> tuple[Stack, Any]:
        stack: Stack = stack_of(JetScaling().fit(constituents), [1], network=kind, width=32)
        return stack, ratio_loss(stack)

    yield "classifier", lambda: classifier(1), (x, target), 1
    yield "classifiers, stack of 3", lambda: classifier(3), (x, target), 3
    ratios = torch.rand(number, 2, generator=random) + 0.5
    yield "mean ratio, stack of 2", means, (x, ratios), 2
    noise, times = (torch.randn(number, 4, generator=random), torch.rand(number, 1, generator=random))
    moved = x[:, :4], x[:, 4:], noise, times
    yield "flow matching", lambda: flow(FlowMatching), moved, 1
    yield "transformer flow matching", lambda: flow(TransformerFlowMatching), moved, 1
    constituents, label = jets(number // 4), target[: number // 4]
    yield "deep sets", lambda: sets("deep_sets"), (constituents, label), 1
    yield "attention", lambda: sets("attention"), (constituents, label), 1


def parity(bench: Bench, clock: Clock) -> Iterator[Row]:
    """Losses of each piece on the CPU and on the device."""
    number = 2_000 if bench.small else 20_000
    longest = 0.0
    for name, make, data, members in pieces(number):
        if clock.left < longest:
            yield cut(name)
            continue
        started, losses = time.monotonic(), []
        for device in (torch.device("cpu"), bench.device):
            stack, loss = make()
            weights = torch.ones(len(data[0]), members)
            settings = Settings(epochs=2 if bench.small else 3, batch_size=500, learning_rate=1e-3)
            losses.append(np.array(Bench(device, bench.small).train(stack, loss, data, weights, settings).train))
        difference = float(np.max(np.abs(losses[1] / losses[0] - 1.0)))
        longest = max(longest, time.monotonic() - started)
        yield {"what": name, "difference": difference, "agrees": difference <= TOLERANCE}


def products(bench: Bench, clock: Clock) -> Iterator[Row]:
    """Rate of a large product."""
    size, repeats = (256, 3) if bench.small else (8192, 20)
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a, b = (torch.randn(size, size, device=bench.device).to(dtype) for _ in range(2))
        torch.mm(a, b)
        seconds = bench.timed(lambda a=a, b=b: [torch.mm(a, b) for _ in range(repeats)])
        yield {"what": name, "tflops": 2 * size**3 * repeats / seconds / 1e12}


def omnifold(bench: Bench, clock: Clock, rates: dict[str, float]) -> Iterator[Row]:
    """One epoch of OmniFold's network."""
    sizes = (2_000, 4_000) if bench.small else (10**6, 10**7, 10**8)
    for precision in ("fp32", "bf16"):
        slowest = 0.0
        for number in sizes:
            what = f"{number:.0e} events, {precision}"
            if number * slowest > clock.left:
                yield cut(what)
                continue
            started = time.monotonic()
            bench.memory()
            data = bench.events(number)
            weights = torch.ones(number, 1, device=bench.device)
            stack: Stack = stack_of(FEATURES, [1], width=WIDTH, depth=DEPTH)
            settings = Settings(epochs=1, batch_size=batch(number), precision=precision)  # type: ignore[arg-type]
            train = lambda: bench.train(stack, ratio_loss(stack), data, weights, settings)  # noqa: B023, E731
            seconds = bench.timed(train)
            slowest = 1.2 * (time.monotonic() - started) / number
            rate = number / seconds
            yield {
                "what": what,
                "batch": settings.batch_size,
                "events_per_second": rate,
                "share": rate * OPERATIONS / 1e12 / rates[precision],
                "memory_gb": bench.memory(),
            }


def replicas(bench: Bench, clock: Clock) -> Iterator[Row]:
    """Replicas with weights of their own, by stacks, for one epoch."""
    number, count = (2_000, 8) if bench.small else (10**6, 100)
    data = bench.events(number)
    single = 0.0
    for members in (1, count // 4, count):
        if members * single > clock.left:
            yield cut(f"stack of {members}")
            continue
        random = torch.Generator(bench.device).manual_seed(4)
        weights = torch.poisson(torch.ones(number, members, device=bench.device), generator=random)
        stack: Stack = stack_of(FEATURES, [1] * members, width=WIDTH, depth=DEPTH)
        settings = Settings(epochs=1, batch_size=batch(number))
        bench.memory()
        train = lambda: bench.train(stack, ratio_loss(stack), data, weights, settings)  # noqa: B023, E731
        seconds = bench.timed(train)
        single = single or seconds
        yield {
            "what": f"stack of {members}, {number:.0e} events",
            "events_per_second": members * number / seconds,
            "seconds_for_all": seconds * count / members,
            "over_single": members * single / seconds,
            "memory_gb": bench.memory(),
        }


def models(bench: Bench, clock: Clock) -> Iterator[Row]:
    """Training and sampling of generative models."""
    number, rows = (2_000, 500) if bench.small else (2 * 10**6, 2**17)
    x, _ = bench.events(number, 12)
    kinds: list[tuple[str, type[nn.Module]]] = [("dense", FlowMatching), ("transformer", TransformerFlowMatching)]
    for name, kind in kinds:
        if clock.left < 0:
            yield cut(name)
            continue
        stack: Stack = Stack(lambda kind=kind: kind(dimensions=6, conditions=6, batch=rows), [1])

        def loss(x: Tensor, condition: Tensor, stack: Stack = stack) -> Tensor:
            return stack.call("loss", x, condition)

        half = number // (1 if kind is FlowMatching else 4)
        data = x[:half, :6].contiguous(), x[:half, 6:].contiguous()
        settings = Settings(epochs=1, batch_size=batch(half))
        weights = torch.ones(half, 1, device=bench.device)
        bench.memory()
        trained = bench.timed(lambda: bench.train(stack, loss, data, weights, settings))  # noqa: B023
        memory = bench.memory()
        model: Any = stack.template.to_empty(device=bench.device)
        model.load_state_dict(stack.state_of(0))
        drawn = bench.timed(lambda: model.sample(data[1]))  # noqa: B023
        yield {
            "what": name,
            "events_per_second": half / trained,
            "sampled_per_second": half / drawn,
            "memory_gb": memory,
        }


def streaming(bench: Bench, clock: Clock) -> Iterator[Row]:
    """The same events from the memory of the host and of the device, for one epoch."""
    number, blocks = (2_000, 4) if bench.small else (8 * 10**6, 16)
    data = bench.events(number)
    table = torch.cat([data[0], data[1][:, None], torch.ones(number, 1, device=bench.device)], dim=1).cpu()
    table = table.pin_memory() if bench.device.type == "cuda" else table
    parts = table.chunk(blocks)
    settings = Settings(epochs=1, batch_size=batch(number))

    def read(_: int, block: int) -> tuple[Tensor, ...]:
        part = parts[block]
        return part[:, :FEATURES], part[:, FEATURES], part[:, FEATURES + 1 :]

    def resident() -> None:
        stack: Stack = stack_of(FEATURES, [1], width=WIDTH, depth=DEPTH)
        bench.train(stack, ratio_loss(stack), data, torch.ones(number, 1, device=bench.device), settings)

    def streamed() -> None:
        stack: Stack = stack_of(FEATURES, [1], width=WIDTH, depth=DEPTH)
        source = Stream([[len(p) for p in parts]], read, buffer=number // 4, members=1)
        fit_source(stack, ratio_loss(stack), source, settings, seed=1, label="gpu")

    for name, act in (("resident", resident), ("streamed", streamed)):
        if clock.left < 0:
            yield cut(name)
            continue
        yield {"what": f"{name}, {number:.0e} events", "events_per_second": number / bench.timed(act)}


def batch(number: int) -> int:
    """A batch of an epoch with at least 64 steps, at most 2^17 events: enough work for a large GPU."""
    return max(32, min(2**17, number // 64))


def cut(what: str) -> Row:
    """A part for which no time was left."""
    return {"what": what, "cut": "no time left"}


def measure(bench: Bench, seconds: float) -> dict[str, list[Row]]:
    """All parts; each row is printed as soon as it is known."""
    found: dict[str, list[Row]] = {}
    rates: dict[str, float] = {}
    parts: dict[str, Callable[[Clock], Iterator[Row]]] = {
        "parity": lambda clock: parity(bench, clock),
        "products": lambda clock: products(bench, clock),
        "omnifold": lambda clock: omnifold(bench, clock, rates),
        "replicas": lambda clock: replicas(bench, clock),
        "models": lambda clock: models(bench, clock),
        "streaming": lambda clock: streaming(bench, clock),
    }
    whole, later = Clock(seconds), 1.0
    for name, part in parts.items():
        given = whole.left * SHARES[name] / later
        later -= SHARES[name]
        found[name] = []
        for row in part(Clock(given)):
            found[name].append(row)
            print(f"{name:10s} {shown(row)}", flush=True)
        if name == "products":
            rates |= {row["what"]: row["tflops"] for row in found[name]}
    return found


def shown(row: Row) -> str:
    """A row in a line."""
    values = [f"{n} {v:.4g}" if isinstance(v, float) else f"{n} {v}" for n, v in row.items() if n != "what"]
    return f"{row['what']:34s} " + ", ".join(values)


def main(arguments: list[str] | None = None) -> int:
    """The command; 1 if losses do not agree."""
    parser = argparse.ArgumentParser(description="Trainings on a GPU: the same losses as on a CPU, and how fast.")
    parser.add_argument("--out", type=Path, help="file for the JSON")
    parser.add_argument("--seconds", type=float, default=330.0, help="time for all parts")
    parser.add_argument("--small", action="store_true", help="few events, as without a GPU")
    given = parser.parse_args(arguments)
    gpu = torch.cuda.is_available()
    device = torch.device("cuda", 0) if gpu else torch.device("cpu")
    name = torch.cuda.get_device_name(device) if gpu else "CPU, without a GPU"
    print(f"{name}, torch {torch.__version__}", flush=True)
    original = loop.training_device
    try:
        parts = measure(Bench(device, given.small or not gpu), given.seconds)
    finally:
        loop.training_device = original  # type: ignore[assignment]
    content = {
        "name": "gpu",
        "device": name,
        "measured": gpu and not given.small,
        "torch": torch.__version__,
        "date": datetime.now(UTC).date().isoformat(),
        "tolerance": TOLERANCE,
        "parts": parts,
    }
    if given.out:
        given.out.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    print(json.dumps(content, allow_nan=False))
    failed = [row["what"] for row in parts["parity"] if not row.get("agrees", True)]
    if failed:
        print(f"losses differ by more than {TOLERANCE}: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
