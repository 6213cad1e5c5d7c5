"""Learn a density ratio with a classifier: the logit of a calibrated classifier is the log of the ratio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from truthward.errors import DivergedError, InputError
from truthward.events.hashing import uniform
from truthward.learn.fit import History, Settings, fit
from truthward.learn.nets import MLP, Activation
from truthward.learn.scaling import RankScaling
from truthward.learn.stack import Stack
from truthward.ratio.base import LogRatio
from truthward.ratio.boosted_trees import BinnedEvents, TreeLosses, TreeOptions, Trees
from truthward.ratio.constituents import ConstituentClassifier, JetScaling
from truthward.ratio.losses import LogisticLoss
from truthward.study.seeds import seed_for

Network = Literal["dense", "deep_sets", "attention"]
Tabular = Literal["dense", "boosted_trees"]
"""Classifiers of events that are rows of numbers."""

JUDGE = TreeOptions(trees=300, leaves=8, learning_rate=0.2, patience=10)
"""Trees whose number is chosen by held-out events."""

LEAVES = 200
"""In a sample that is too small for leaves of the usual size, a leaf has at least this part of the events."""

SATURATED = 15.0
"""Largest |logit| that a float32 sigmoid resolves. Ratios beyond it are counted and reported, but never clipped."""

BATCHES = 32
"""Smallest number of batches in an epoch: else a network would judge a small sample when it is hardly trained."""

ROWS = 4096
"""Number of events that a network judges at a time. For more events the activations leave the cache. Arrays of
megabytes and of changing sizes also fragment the heap, so that memory would grow with the number of events."""


class Classifier(LogRatio):
    """A dense network for inputs that are already scaled (`learn.scaling`), (B, K) -> logit (B,).

    The events are scaled once and not in each epoch. The logit starts at zero: a ratio of one.
    """

    event_dims = 1

    def __init__(self, inputs: int, *, width: int = 64, depth: int = 3, activation: Activation = "gelu") -> None:
        super().__init__()
        self.network = MLP(inputs, 1, width=width, depth=depth, activation=activation, zero_last=True)

    @property
    def dense(self) -> MLP:
        """See LogRatio."""
        return self.network

    def forward(self, x: Tensor) -> Tensor:
        """(B, K) -> (B,)."""
        return self.network(x).squeeze(-1)


Inputs = int | RankScaling | JetScaling
"""K for a dense network, or the scaling that gives K; for a network of sets, the scaling of the constituents."""


def classifier_of(inputs: Inputs, *, network: Network = "dense", **options) -> LogRatio:
    """Make a classifier.

    Args:
        inputs: number or scaling of the inputs. A dense network needs events that are scaled beforehand. A network of
            sets scales its events itself, because scaled constituents would take several times the memory.
    """
    if network == "dense" and not isinstance(inputs, JetScaling):
        return Classifier(inputs.inputs if isinstance(inputs, RankScaling) else inputs, **options)
    if network != "dense" and isinstance(inputs, JetScaling):
        classifier = ConstituentClassifier(network=network, **options)
        classifier.scaling.load_state_dict(inputs.state_dict())
        return classifier
    raise TypeError(f"a network {network!r} cannot take its inputs from {type(inputs).__name__}")


def stack_of(inputs: Inputs, seeds: list[int], **options) -> Stack[LogRatio]:
    """A stack of classifiers, one for each seed; see `classifier_of`."""
    return Stack(lambda: classifier_of(inputs, **options), seeds)


def balanced(weights: np.ndarray, numerator: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """Scale weights (N, E) so that both classes have the same sum, in the training rows and in the other rows.

    The ratio of the yields is added to the logit afterwards. So it is exact and does not fluctuate with the split.

    Raises:
        DivergedError: if a class has no positive sum of weights.
    """
    result = np.array(weights, dtype=np.float64)
    for rows in (~held_out, held_out):
        chosen = [rows & ~numerator, rows & numerator]
        if rows.any():
            sums = np.stack([result[c].sum(axis=0) for c in chosen])
            for c, factor in zip(chosen, balance(sums, np.array([c.sum() for c in chosen])), strict=True):
                result[c] *= factor
    return result


def balance(sums: np.ndarray, events: np.ndarray) -> np.ndarray:
    """Factors (2, E) for the weights of two classes with sums (2, E) and numbers of events (2,); see `balanced`."""
    if not (sums > 0).all():
        bad = int(np.argmin(sums.min(axis=1)))
        raise DivergedError(
            f"classes: the weights of {events[bad]} events sum to {float(sums.min()):.3g}; a density ratio "
            "needs a positive sum in both classes of the training and of the held-out events"
        )
    return 0.5 * events.sum() / sums


def train_ratio(
    stack: Stack[LogRatio],
    x: Tensor,
    numerator: np.ndarray,
    weights: np.ndarray,
    settings: Settings,
    *,
    seed: int,
    held_out: np.ndarray | None = None,
    label: str = "classifier",
    state: Path | None = None,
    key: str = "",
) -> History:
    """Train E classifiers at once, with balanced classes.

    Args:
        x: (N, K) scaled, or (N, E, K) if every member has its own inputs; for constituents (N, P, 4) or (N, E, P, 4).
        numerator: (N,) bool; weights: (N, E), of any sign, in any normalisation.
        held_out: (N,) bool, rows for the choice of the epoch. None: train on all rows, for all epochs.
    """
    held = np.zeros(len(numerator), dtype=bool) if held_out is None else held_out
    data = (x, torch.from_numpy(numerator.astype(np.float32)))
    scaled = torch.from_numpy(balanced(weights, numerator, held))
    validation = torch.from_numpy(held) if held.any() else None
    return fit(
        stack,
        ratio_loss(stack),
        data,
        scaled,
        settings,
        seed=seed,
        validation=validation,
        label=label,
        state=state,
        state_key=key,
    )


def ratio_loss(stack: Stack[LogRatio]) -> LogisticLoss:
    """Losses (E, B) of the members for x (B, ...), shared or (B, E, ...), and the class (B,), 0 or 1."""
    return LogisticLoss(stack, soft=False)


def logits(stack: Stack[LogRatio], x: Tensor, *, rows: int = ROWS, label: str = "classifier") -> np.ndarray:
    """Logits (N, E) float64 of every member.

    x is scaled, (N, K) or (N, E, K); for constituents (N, P, 4) or (N, E, P, 4).

    Raises:
        DivergedError: if logits are not finite, with the count.
    """
    own = x.ndim > 1 + stack.template.event_dims
    with torch.no_grad():
        parts = [stack.call("forward", p.transpose(0, 1) if own else p, own=(own,)) for p in x.split(rows)]
    result = torch.cat(parts, dim=1).T.double().numpy()
    if bad := int((~np.isfinite(result)).sum()):
        raise DivergedError(f"{label}: {bad} of {result.size} logits are not finite")
    return result


class DensityRatio:
    """p(x) / q(x) with the absolute yields of both samples, learned by one classifier.

    found: logit of the classifier of balanced classes, x (N, D) -> (N,). offset: log of the ratio of the yields.
    """

    def __init__(self, found: Callable[[np.ndarray], np.ndarray], offset: float) -> None:
        self._found, self.offset = found, offset

    def log_ratio(self, x: np.ndarray) -> np.ndarray:
        """Logarithm of the density ratio at x (N, D) -> (N,)."""
        return self._found(x) + self.offset

    def score(self, x: np.ndarray) -> np.ndarray:
        """D = p / (p + q) for equal yields, at x (N, D) -> (N,)."""
        return 1.0 / (1.0 + np.exp(self.offset - self.log_ratio(x)))


def density_ratio(
    x_p: np.ndarray,
    w_p: np.ndarray,
    x_q: np.ndarray,
    w_q: np.ndarray,
    *,
    seed: int,
    held_out: np.ndarray | None = None,
    classifier: Tabular = "dense",
    epochs: int = 20,
    batch_size: int = 1024,
    learning_rate: float = 2e-3,
    width: int = 64,
    depth: int = 3,
    activation: Activation = "gelu",
    patience: int = 0,
    label: str = "density ratio",
) -> DensityRatio:
    """Learn the ratio of the densities of numerator p and denominator q.

    Args:
        x_p: (N_p, D), w_p: (N_p,); x_q: (N_q, D), w_q: (N_q,). Weights of any sign; their sums are the yields.
        held_out: (N_p + N_q,) bool, first p then q: these events choose the epoch, or the number of trees, and are not
            used in training.
        classifier: a network, with the options from `epochs` on, or boosted trees, which need none of them.
        batch_size: upper limit of the batch size.

    Raises:
        InputError: inputs that are not finite, or have unequal lengths.
    """
    x, numerator, w = _joined(x_p, w_p, x_q, w_q, label)
    offset = float(np.log(np.sum(w_p) / np.sum(w_q)))
    if classifier == "boosted_trees":
        return DensityRatio(judging_trees(x, numerator, w, held_out, label)[0], offset)
    parts = torch.from_numpy(w[:, 0]).split(len(x_p))
    scaling = RankScaling(x.shape[1]).fit((x[: len(x_p)], parts[0]), (x[len(x_p) :], torch.cat(parts[1:])))
    stack = stack_of(scaling, [seed_for(seed, "initial")], width=width, depth=depth, activation=activation)
    trained = len(x) if held_out is None else int((~held_out).sum())
    batch = max(1, min(batch_size, trained // BATCHES))
    settings = Settings(epochs=epochs, batch_size=batch, learning_rate=learning_rate, patience=patience)
    train_ratio(
        stack, scaling(x), numerator, w, settings, seed=seed_for(seed, "batches"), held_out=held_out, label=label
    )
    return DensityRatio(lambda at: logits(stack, scaling(_tensor(at)))[:, 0], offset)


def judging_trees(
    x: Tensor, numerator: np.ndarray, weights: np.ndarray, held_out: np.ndarray | None, label: str
) -> tuple[Trees, TreeLosses]:
    """Trees whose sum is the logit of balanced classes, from x (N, D), numerator (N,) and weights (N, 1).

    If events are held out, (N,) bool, the trees are many and small, and these events decide on their number.
    """
    held = np.zeros(len(x), dtype=bool) if held_out is None else held_out
    smallest = max(1, min(TreeOptions.smallest_leaf, int((~held).sum()) // LEAVES))
    options = TreeOptions(smallest_leaf=smallest) if held_out is None else replace(JUDGE, smallest_leaf=smallest)
    total = balanced(weights, numerator, held)[:, 0]
    grown, _, losses = BinnedEvents(x, options, label=label).grow(
        total, total * numerator, options.trees, held_out=held, patience=options.patience, label=label
    )
    return grown, losses


def cross_fit(
    x_p: np.ndarray,
    w_p: np.ndarray,
    x_q: np.ndarray,
    w_q: np.ndarray,
    *,
    seed: int,
    folds: int = 2,
    classifier: Tabular = "dense",
    epochs: int = 20,
    batch_size: int = 1024,
    learning_rate: float = 2e-3,
    width: int = 64,
    depth: int = 3,
    activation: Activation = "gelu",
    label: str = "two-sample test",
) -> tuple[tuple[np.ndarray, np.ndarray], list[DensityRatio]]:
    """Scores D = p / (p + q) for equal yields, by cross-fitting: no classifier scores an event of its own training.

    Every event is used: to train `folds - 1` classifiers, and to test the remaining one. A fifth of the training events
    of a classifier chooses its best epoch, or its number of trees, so the tested fold has no influence. The score of an
    ideal classifier gives w = D / (1 - D) = p / q (2305.16774).

    Args:
        x_p: (N_p, D), w_p: (N_p,); x_q: (N_q, D), w_q: (N_q,).
        seed: seed of the folds, the initial weights and the batches.

    Returns:
        D of the events of p (N_p,) and of q (N_q,), float64; and the classifiers, one for each fold, for further
        events.
    """
    if folds < 2:
        raise InputError(
            f"{label}: folds {folds} given; at least 2 are needed, so that each event is left out of a training"
        )
    fold = [
        (uniform(np.arange(n, dtype=np.uint64), seed_for(seed, "fold", c)) * folds).astype(int)
        for c, n in (("p", len(x_p)), ("q", len(x_q)))
    ]
    scores = [np.full(len(x_p), np.nan), np.full(len(x_q), np.nan)]
    ratios = []
    for k in range(folds):
        own = [f != k for f in fold]
        held = _held_out([int(o.sum()) for o in own], seed_for(seed, "held out", k))
        ratio = density_ratio(
            x_p[own[0]],
            w_p[own[0]],
            x_q[own[1]],
            w_q[own[1]],
            seed=seed_for(seed, k),
            held_out=held,
            classifier=classifier,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            width=width,
            depth=depth,
            activation=activation,
            patience=max(3, epochs // 4),
            label=f"{label}, fold {k + 1} of {folds}",
        )
        ratios.append(ratio)
        for score, x, mine in zip(scores, (x_p, x_q), own, strict=True):
            if not mine.all():
                score[~mine] = ratio.score(x[~mine])
    return (scores[0], scores[1]), ratios


def _held_out(sizes: list[int], key: int) -> np.ndarray:
    """The events of two samples, one after the other, that choose the epoch: a fifth, at least one of each sample."""
    u = uniform(np.arange(sum(sizes), dtype=np.uint64), key)
    held = u < 0.2
    for part in (slice(0, sizes[0]), slice(sizes[0], None)):
        if u[part].size and not held[part].any():
            held[part] = u[part] == u[part].min()
    return held


def two_sample_scores(
    x_p: np.ndarray, w_p: np.ndarray, x_q: np.ndarray, w_q: np.ndarray, *, seed: int, **options: Any
) -> tuple[np.ndarray, np.ndarray]:
    """The scores of `cross_fit`: D of the events of p (N_p,) and of q (N_q,)."""
    return cross_fit(x_p, w_p, x_q, w_q, seed=seed, **options)[0]


def _tensor(x: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))


def _joined(
    x_p: np.ndarray, w_p: np.ndarray, x_q: np.ndarray, w_q: np.ndarray, label: str
) -> tuple[Tensor, np.ndarray, np.ndarray]:
    for x, w, name in ((x_p, w_p, "numerator"), (x_q, w_q, "denominator")):
        if x.ndim != 2 or w.shape != (len(x),) or len(x) == 0:
            raise InputError(f"{label}: the {name} has inputs of shape {x.shape} and weights of shape {w.shape}")
        if not np.isfinite(x).all():
            raise InputError(f"{label}: {int((~np.isfinite(x)).sum())} inputs of the {name} are not finite")
    numerator = np.arange(len(x_p) + len(x_q)) < len(x_p)
    return _tensor(np.concatenate([x_p, x_q])), numerator, np.concatenate([w_p, w_q]).astype(np.float64)[:, None]
