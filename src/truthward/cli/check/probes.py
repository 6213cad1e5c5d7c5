"""Build each plug-in once with its options of the config, and call it with the smallest input that shows it works."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from truthward.errors import TruthwardError
from truthward.run.files import GLANCE
from truthward.study import plugins
from truthward.study.config import Config

EVENTS = 8


class ContractError(TruthwardError):
    """A plug-in does not do what its base class promises."""


@dataclass(frozen=True)
class Probe:
    """One plug-in: its key in the config, and the result of the test."""

    where: str
    kind: str
    said: str
    seconds: float
    error: str = ""


def entries(config: Config) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(key of the config, package, entry) of all plug-ins in the config."""
    for name, sample in config.samples.items():
        for key, package in (("generate", "physics.generators"), ("read", "events.readers")):
            if getattr(sample, key):
                yield f"samples.{name}.{key}", package, getattr(sample, key)
        if sample.closure_read:
            yield f"samples.{name}.closure_read", "events.readers", sample.closure_read
    if config.calibrate:
        yield "calibrate", "calibrate", config.calibrate
    for name, entry in config.surrogate.models.items():
        yield f"surrogate.models.{name}", "models", entry
    for name, entry in config.unfold.methods.items():
        yield f"unfold.methods.{name}", "unfold", entry
        if "model" in entry:
            yield f"unfold.methods.{name}.model", "models", entry["model"]


def probe(where: str, package: str, entry: dict[str, Any]) -> Probe:
    """Build one plug-in and call it. Errors are reported and not raised."""
    started = time.perf_counter()
    try:
        with _quiet():
            said, error = PROBES[package](entry), ""
    except (TruthwardError, ImportError, OSError, RuntimeError, TypeError, ValueError, LookupError) as wrong:
        said, error = "", f"{type(wrong).__name__}: {where}: {' '.join(str(wrong).split())}"
    return Probe(where, entry["kind"], said, time.perf_counter() - started, error)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the banners that libraries print from C++."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _reader(entry: dict[str, Any]) -> str:
    reader = plugins.build("events.readers", entry)
    files, columns = len(reader.paths), reader.columns()
    truth = sum(name.startswith("truth_") for name in columns)
    remote = [file for file in reader.sources if file.remote]
    for file in remote:
        file.look((), GLANCE)
    reached = f", {len(remote)} of them remote, all there" if remote else ""
    return f"{files} file{'s' * (files != 1)}{reached}; columns: {truth} truth, {len(columns) - truth} reco"


def _generator(entry: dict[str, Any]) -> str:
    block = plugins.build("physics.generators", entry).block(EVENTS, total=EVENTS, seed=1)
    _expect("events of a block", len(block["weight"]), EVENTS)
    return f"made {EVENTS} events"


def _calibrator(entry: dict[str, Any]) -> str:
    calibrator = plugins.build("calibrate", entry).eval()
    with torch.no_grad():
        answers = calibrator.predict(torch.rand(EVENTS, len(calibrator.features)) + 1.0)
    _expect("shapes of predict", [tuple(a.shape) for a in answers], [(EVENTS,)] * 3)
    return f"{_size(calibrator)}; predict"


def _model(entry: dict[str, Any]) -> str:
    model = plugins.build("models", entry, dimensions=2, conditions=1)
    x, condition = torch.randn(EVENTS, 2), torch.randn(EVENTS, 1)
    loss = model.loss(x, condition)
    _expect("shape of the loss", tuple(loss.shape), (EVENTS,))
    loss.mean().backward()
    sample = model.eval().sample(condition)
    _expect("shape of a sample", tuple(sample.shape), (EVENTS, 2))
    _expect("finite values in loss and sample", bool(loss.isfinite().all() and sample.isfinite().all()), True)
    return f"{_size(model)}; loss, gradient, sample" + (", log_prob" * _density(model, x, condition))


def _density(model: Any, x: torch.Tensor, condition: torch.Tensor) -> bool:
    if model.LIKELIHOOD:
        _expect("shape of log_prob", tuple(model.log_prob(x, condition).shape), (EVENTS,))
    return model.LIKELIHOOD


def _unfolder(entry: dict[str, Any]) -> str:
    plugins.build("unfold", entry)
    return "built"


def _size(module: torch.nn.Module) -> str:
    return f"{sum(p.numel() for p in module.parameters()):,} parameters"


def _expect(what: str, found: Any, wanted: Any) -> None:
    if found != wanted:
        raise ContractError(f"{what}: {found}, {wanted} expected")


PROBES = {
    "events.readers": _reader,
    "physics.generators": _generator,
    "calibrate": _calibrator,
    "models": _model,
    "unfold": _unfolder,
}
