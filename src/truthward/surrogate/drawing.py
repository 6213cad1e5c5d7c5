"""A trained surrogate, its density and its drawn events."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from truthward.errors import InputError
from truthward.events.hashing import mix
from truthward.events.table_write import write_table
from truthward.learn import checkpoint
from truthward.learn.quantile import QuantileTransform
from truthward.learn.residual import Residual
from truthward.run.provenance import Record
from truthward.study import plugins
from truthward.study.seeds import seed_for

LEVELS = ("truth", "reco")
PATTERNS = {"both": (True, True), "miss": (True, False), "fake": (False, True)}
"""Category -> (pass_truth, pass_reco). Events that pass at no level are not modelled."""


class SurrogateModel(nn.Module):
    """One member of the ensemble: the yield of each category, and p(observables at both levels | category).

    Args:
        model: entry of the config, {kind: ..., options}.
        observables: name, label, unit, ..., `integer` and `atoms` of each observable.
        categories: (process, pattern) of each category; the condition of the model is one-hot in the categories.
        selection: level -> expression, as in the table of the simulation.
    """

    yields: Tensor

    def __init__(
        self,
        *,
        model: dict[str, Any],
        observables: list[dict[str, Any]],
        categories: list[list[str]],
        selection: dict[str, str],
    ) -> None:
        super().__init__()
        self.observables = observables
        self.categories = [tuple(c) for c in categories]
        self.selection = selection
        self.columns = [f"{level}_{o['name']}" for level in LEVELS for o in observables]
        self.transform = QuantileTransform(
            len(self.columns),
            atoms=[list(o.get("atoms", ())) for _ in LEVELS for o in observables],
            integer=[bool(o.get("integer", False)) for _ in LEVELS for o in observables],
        )
        self.residual = Residual(len(observables), len(observables))
        self.model = plugins.build("models", model, dimensions=len(self.columns), conditions=len(categories))
        self.register_buffer("yields", torch.zeros(len(categories), dtype=torch.float64))

    def present(self, category: Tensor) -> Tensor:
        """Which columns exist in a category (B,), (B, 2 K) bool."""
        levels = torch.tensor([PATTERNS[pattern] for _, pattern in self.categories])
        return levels[category].repeat_interleave(len(self.observables), 1)

    def prepare(self, x: Tensor, category: Tensor, weights: Tensor, generator: torch.Generator) -> Tensor:
        """Fit transform and regression to `x` (N, 2 K) with `weights` (N,). Return the model's training data, (N, 2 K).

        The columns of an absent level become independent standard normal noise. The model learns nothing from them, and
        `draw` drops them.
        """
        seen = self.present(category)
        self.transform.fit(x, weights[:, None] * seen)
        z = self.transform(x, torch.rand(x.shape, generator=generator))
        truth, reco = torch.where(seen, z, torch.randn(x.shape, generator=generator)).chunk(2, 1)
        whole = seen.all(1)
        # Without enough events at both levels there is no regression.
        if (weights[whole] != 0).sum() > z.shape[1]:
            self.residual.fit(truth[whole], reco[whole], weights[whole])
        return torch.cat([truth, torch.where(whole[:, None], self.residual(truth, reco), reco)], 1)

    def shown(self, x: Tensor, category: Tensor) -> Tensor:
        """Inputs of a classifier for events (N, 2 K), (N, 2 K + categories).

        They are the columns as in the model, with atoms at the middle of their interval and 0 if a level is absent, and
        the one-hot category.
        """
        seen = self.present(category)
        truth, reco = self.transform(torch.where(seen, x, torch.zeros_like(x)), torch.full_like(x, 0.5)).chunk(2, 1)
        reco = torch.where(seen.all(1, keepdim=True), self.residual(truth, reco), reco)
        one_hot = nn.functional.one_hot(category, len(self.categories))
        return torch.cat([torch.where(seen, torch.cat([truth, reco], 1), 0.0), one_hot], 1)

    def read(self, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Observables (N, 2 K) and categories (N,) of a batch of `draws`."""
        category = np.zeros(len(batch["weight"]), dtype=np.int64)
        for index, (process, pattern) in enumerate(self.categories):
            truth, reco = PATTERNS[pattern]
            same = (batch["pass_truth"] == truth) & (batch["pass_reco"] == reco) & (batch["process"] == process)
            category[same] = index
        return torch.from_numpy(np.stack([batch[c] for c in self.columns], 1)), torch.from_numpy(category)

    def log_prob(self, x: Tensor, category: Tensor) -> Tensor:
        """ln p(x | category) of observables x (B, 2 K) in their own units, for categories (B,) -> (B,).

        Raises:
            ConfigError: the model has no tractable density.
            InputError: a category lacks a level; a value is an integer or an atom, which has no density.
        """
        if not self.present(category).all():
            raise InputError("surrogate: only events with truth and reco level have a density; select their category")
        slope = self.transform.log_slope(x).sum(1)
        truth, reco = self.transform(x, torch.zeros_like(x)).chunk(2, 1)
        z = torch.cat([truth, self.residual(truth, reco)], 1)
        one_hot = nn.functional.one_hot(category, len(self.categories)).float()
        return self.model.log_prob(z, one_hot) - self.residual.sigma.log().sum() + slope

    def draw(self, category: Tensor, noise: Tensor) -> Tensor:
        """Observables (B, 2 K) for categories (B,) from normal noise (B, 2 K); NaN if a level is absent."""
        one_hot = nn.functional.one_hot(category, len(self.categories)).float()
        truth, left = self.model.sample(one_hot, noise).chunk(2, 1)
        present = self.present(category)
        reco = torch.where(present.all(1, keepdim=True), self.residual.inverse(truth, left), left)
        x = self.transform.inverse(torch.cat([truth, reco], 1))
        return torch.where(present, x, torch.full_like(x, torch.nan))


def load_members(path: str | Path) -> tuple[list[SurrogateModel], dict[str, Any]]:
    """Members of a trained ensemble, and the provenance of the training."""
    modules, _, provenance = checkpoint.load(path)
    return [cast(SurrogateModel, modules[f"member{m}"]) for m in range(len(modules))], provenance


@torch.no_grad()
def density(members: Sequence[SurrogateModel], x: Tensor, category: Tensor) -> tuple[Tensor, Tensor]:
    """Density at x (B, 2 K) for categories (B,): mean over the members and its sigma, (B,) each, in inverse units of x.

    sigma is s sqrt(1 + 1/E), with the spread s of the members (ddof 1), as in `amplify.member_covariance`. Each member
    is like a repeated training, so s^2 is the variance from the training events. The mean of E members adds s^2 / E.

    Raises:
        As `SurrogateModel.log_prob`.
    """
    each = torch.stack([member.log_prob(x, category) for member in members]).double().exp()
    return each.mean(0), each.std(0) * math.sqrt(1.0 + 1.0 / len(members))


def draws(
    members: Sequence[SurrogateModel], events: int, *, seed: int, chunk: int = 0, chunks: int = 1, rows: int = 4096
) -> Iterator[dict[str, Any]]:
    """Batches of drawn events with the columns of an event table and `member`; members have nearly equal numbers.

    The numbers of events in the categories are fixed at their rounded expectation, because random numbers would only
    add noise. An event of member m has the weight (yield of m) / (E * events of m). So the sum over all members is the
    yield of the simulation, and members differ in their yields like bootstraps.

    Args:
        members: E of them; events: number of events from all of them together.
        chunk, chunks: this chunk and the number of chunks. All chunks together have the same events for any `chunks`.
        rows: number of rows in a batch; each batch has its own random numbers.

    Raises:
        InputError: there are more chunks than batches.
    """
    sizes = [events // len(members) + (m < events % len(members)) for m in range(len(members))]
    blocks = [(m, start) for m, size in enumerate(sizes) for start in range(0, size, rows)]
    if len(blocks) < chunks:
        raise InputError(
            f"chunks: {chunks} given, but {events} events make {len(blocks)} batches; set `chunks` to {len(blocks)} "
            "at most"
        )
    offset = np.uint64(seed_for(seed, "draws", "id"))
    own = blocks[len(blocks) * chunk // chunks : len(blocks) * (chunk + 1) // chunks]
    for m, each in groupby(own, key=lambda block: block[0]):
        member = members[m]
        generator = torch.Generator().manual_seed(seed_for(seed, "draws", m))
        category = torch.repeat_interleave(_rounded(member.yields, sizes[m]))
        category = category[torch.randperm(sizes[m], generator=generator)]
        weight = float(member.yields.sum()) / (len(members) * sizes[m])
        for _, start in each:
            part = category[start : start + rows]
            generator = torch.Generator().manual_seed(seed_for(seed, "draws", m, start))
            x = member.draw(part, torch.randn(len(part), len(member.columns), generator=generator)).numpy()
            flags = np.array([PATTERNS[pattern] for _, pattern in member.categories])[part]
            # A one-to-one map, so that no id is repeated; events are numbered over all members.
            place = sum(sizes[:m]) + start + np.arange(len(part), dtype=np.uint64)
            yield {
                **{column: x[:, i] for i, column in enumerate(member.columns)},
                "pass_truth": flags[:, 0],
                "pass_reco": flags[:, 1],
                "weight": np.full(len(part), weight),
                "process": np.array([process for process, _ in member.categories])[part],
                "event_id": mix(place.astype(np.uint64) ^ offset),
                "member": np.full(len(part), m, dtype=np.int32),
            }


def write_draws(
    path: str | Path,
    members: Sequence[SurrogateModel],
    batches: Iterator[Mapping[str, Any]],
    *,
    record: Record,
    extra: Callable[[], Mapping[str, Any]],
) -> dict[str, Any]:
    """Write batches of `draws` as an event table of role simulation; `extra` is called at the end for metadata."""
    return write_table(
        path,
        batches,
        observables={o["name"]: o for o in members[0].observables},
        role="simulation",
        selection=members[0].selection,
        record=record,
        extra=extra,
    )


def _rounded(yields: Tensor, size: int) -> Tensor:
    """Whole numbers (C,) with sum `size`, in proportion to `yields` (C,): method of the largest remainders."""
    wanted = yields / yields.sum() * size
    counts = wanted.floor()
    counts[(wanted - counts).argsort(descending=True)[: size - int(counts.sum())]] += 1
    return counts.long()
