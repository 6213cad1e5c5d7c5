"""A two-sample test of all observables jointly, by classifiers, and their weights (2305.16774, 2410.21611)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logit

from truthward.errors import CorruptError, InputError
from truthward.learn.checkpoint import load_arrays, save_arrays
from truthward.ratio.classifier import DensityRatio, Tabular, cross_fit, two_sample_scores
from truthward.records.validate.figures import Scores, SplitTest, Tails, TwoSampleTest
from truthward.study.seeds import seed_for
from truthward.validate import metrics
from truthward.validate.distances import deviation
from truthward.validate.events import Events
from truthward.validate.method.refold import Ratio

log = logging.getLogger("truthward")

QUANTILES = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
NEAR_ONE = np.linspace(-0.5, 0.5, 101)
"""Fine bins of log10 w around w = 1, for good results."""

LIMIT = 36.0
"""Largest |log w| that a score in double precision can show. Scores beyond it are set to it, and counted."""

Part = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""For one seed: logits of the events of p and of q, and their weights."""

FEWEST = 20
"""Smallest number of events of each sample for the training of a classifier."""


def two_sample_test(
    p: np.ndarray,
    w_p: np.ndarray,
    q: np.ndarray,
    w_q: np.ndarray,
    *,
    seeds: int,
    epochs: int,
    classifier: Tabular = "dense",
    seed: int,
    label: str,
    state: Path | None = None,
) -> TwoSampleTest:
    """Test how well classifiers separate the reference p from the tested sample q, at the same yield.

    The score of each event comes from networks that were not trained with it, so all events are used for training and
    for the test. The power of the classifier limits the test: AUC and JSD are lower bounds on the difference.

    Args:
        p: (N, D) reference (the truth), w_p: (N,); q: (n, D) tested, w_q: (n,). Weights may have any sign.
        seeds: repetitions, each with its own folds, initial weights and batches.
        epochs: of a network. classifier: see `ratio.classifier.density_ratio`.
        state: folder where finished repetitions are kept, for resuming.

    Returns:
        auc, jsd (bits): {mean, sd, values} over the seeds; `ensemble`: both for the mean of log w over the seeds;
            `auc_sigma`: standard deviation of the AUC for equal distributions, sqrt((1/n + 1/N) / 12) with effective
            sizes; `significance`: (auc - 1/2) over the quadratic sum of `auc_sigma` and the sd over the seeds;
            `weights`: `tails` of w = D / (1 - D) = p / q of the ensemble, on the events of `p` and of `q`.
    """
    options = {"epochs": epochs, "classifier": classifier}
    logits, saturated = [], 0
    for k in range(seeds):
        found, beyond = _logits(
            p, w_p, q, w_q, options, seed_for(seed, label, k), f"{label}, seed {k + 1}/{seeds}", _file(state, label, k)
        )
        logits.append(found)
        saturated += beyond
    parts = [(lp, lq, w_p, w_q) for lp, lq in logits]
    auc = _scores(metrics.auc, parts)
    mean_p, mean_q = (np.mean([each[i] for each in logits], axis=0) for i in (0, 1))
    sizes = [metrics.effective_sample_size(w) for w in (w_p, w_q)]
    sigma = float(np.sqrt(sum(1 / n for n in sizes) / 12))
    return {
        "auc": auc,
        "jsd": _scores(metrics.jsd, parts),
        "ensemble": {"auc": metrics.auc(mean_p, mean_q, w_p, w_q), "jsd": metrics.jsd(mean_p, mean_q, w_p, w_q)},
        "auc_sigma": sigma,
        "significance": (auc["mean"] - 0.5) / float(np.hypot(sigma, auc["sd"] or 0.0)),
        "effective_sizes": sizes,
        "saturated": saturated,
        "weights": {"p": tails(mean_p, w_p), "q": tails(mean_q, w_q)},
    }


def floor_test(
    x: np.ndarray,
    w: np.ndarray,
    *,
    seeds: int,
    epochs: int,
    classifier: Tabular = "dense",
    seed: int,
    label: str,
    state: Path | None = None,
) -> SplitTest:
    """The floor of the test: two halves of the truth against each other. Each seed divides the truth anew.

    The halves have only half of the events of the test. So their figures scatter more, and their weights are wider.

    Args:
        x: (N, D), w: (N,).

    Returns:
        auc, jsd, effective_sizes and weights as in `two_sample_test`. The weights are from all seeds together.
    """
    options = {"epochs": epochs, "classifier": classifier}
    parts = []
    for k in range(seeds):
        first = np.random.default_rng(seed_for(seed, label, "halves", k)).permutation(len(x)) < len(x) // 2
        found, _ = _logits(
            x[first],
            w[first],
            x[~first],
            w[~first],
            options,
            seed_for(seed, label, k),
            f"{label}, seed {k + 1}/{seeds}",
            _file(state, label, k),
        )
        parts.append((*found, w[first], w[~first]))
    joined = [np.concatenate([part[i] for part in parts]) for i in range(4)]
    return {
        "auc": _scores(metrics.auc, parts),
        "jsd": _scores(metrics.jsd, parts),
        "effective_sizes": [metrics.effective_sample_size(part) for part in parts[0][2:]],
        "weights": {"p": tails(joined[0], joined[2]), "q": tails(joined[1], joined[3])},
    }


def log_ratio(
    p: np.ndarray,
    w_p: np.ndarray,
    q: np.ndarray,
    w_q: np.ndarray,
    *,
    seeds: int,
    epochs: int,
    classifier: Tabular = "dense",
    seed: int,
    label: str,
    state: Path | None = None,
) -> np.ndarray:
    """log p / q of unit-area densities at the events of q, (n,), as a mean over the seeds.

    The networks that give the value of an event never saw this event. The arguments are as in `two_sample_test`.
    """
    options = {"epochs": epochs, "classifier": classifier}
    found = [
        _logits(
            p, w_p, q, w_q, options, seed_for(seed, label, k), f"{label}, seed {k + 1}/{seeds}", _file(state, label, k)
        )[0][1]
        for k in range(seeds)
    ]
    return np.mean(found, axis=0)


def ratio_of(
    p: Events,
    q: Events,
    *,
    seeds: int,
    epochs: int,
    classifier: Tabular = "dense",
    seed: int,
    label: str,
    state: Path | None = None,
) -> Ratio:
    """p / q of unit-area densities as a function of ids (n,) and values (n, D), for all events of the sample behind q.

    q may have only a part of this sample. For an event in q, networks that never saw it give the value. No network has
    seen the other events: for them the mean of all logits is used. If q has all events, finished repetitions are read
    from `state`. The arguments are as in `two_sample_test`.
    """
    given = p.values, p.weights, q.values, q.weights
    networks: list[list[DensityRatio]] = []
    if q.whole:
        logits = log_ratio(
            *given, seeds=seeds, epochs=epochs, classifier=classifier, seed=seed, label=label, state=state
        )
    else:
        found = []
        for k in range(seeds):
            name = f"{label}, seed {k + 1}/{seeds}"
            scores, trained = cross_fit(
                *given, seed=seed_for(seed, label, k), epochs=epochs, classifier=classifier, label=name
            )
            found.append(_clipped(scores[1]))
            networks.append(trained)
        logits = np.mean(found, axis=0)
    order = np.argsort(q.ids)
    known = q.ids[order]

    def ratio(ids: np.ndarray, values: np.ndarray) -> np.ndarray:
        place = np.minimum(np.searchsorted(known, ids), len(known) - 1)
        result = logits[order[place]]
        if (other := known[place] != ids).any():
            folds = [[_clipped(n.score(values[other])) for n in each] for each in networks]
            result[other] = np.mean(folds, axis=(0, 1))
        return np.exp(result)

    return ratio


def tails(logits: np.ndarray, weights: np.ndarray) -> Tails:
    """Distribution of w = exp(logits) over events (N,) with weights (N,), and its tails.

    Returns:
        `histogram` of log10 w; `near_one`: the same in fine bins; `quantiles` of w (with |weight|, because quantiles
            need positive weights); `above_2`, `above_5`, `below_0.5`, `below_0.2`: fractions of the sum of weights;
            `mean_weight`: it is 1 on q for a calibrated classifier.
    """
    order = np.argsort(logits)
    cumulative = np.cumsum(np.abs(weights[order]))
    place = np.minimum(np.searchsorted(cumulative, np.array(QUANTILES) * cumulative[-1]), len(order) - 1)
    total = weights.sum()

    def fraction(chosen: np.ndarray) -> float:
        return float(weights[chosen].sum() / total)

    near = np.histogram(logits / np.log(10.0), NEAR_ONE, weights=weights)[0] / total
    return {
        "histogram": metrics.ratio_histogram(logits, weights),
        "near_one": {
            "log10_edges": NEAR_ONE.tolist(),
            "fractions": near.tolist(),
            "below": fraction(logits / np.log(10.0) < NEAR_ONE[0]),
            "above": fraction(logits / np.log(10.0) > NEAR_ONE[-1]),
        },
        "quantiles": {str(q): float(np.exp(logits[order[i]])) for q, i in zip(QUANTILES, place, strict=True)},
        "above_2": fraction(logits > np.log(2)),
        "above_5": fraction(logits > np.log(5)),
        "below_0.5": fraction(logits < -np.log(2)),
        "below_0.2": fraction(logits < -np.log(5)),
        "mean_weight": float(np.average(np.exp(logits), weights=weights)),
    }


def _scores(measure: Callable[..., float], parts: Sequence[Part]) -> Scores:
    values = [measure(*part) for part in parts]
    return {"mean": float(np.mean(values)), "sd": deviation(values), "values": values}


def _logits(
    p: np.ndarray,
    w_p: np.ndarray,
    q: np.ndarray,
    w_q: np.ndarray,
    options: Mapping[str, Any],
    seed: int,
    label: str,
    file: Path | None,
) -> tuple[tuple[np.ndarray, np.ndarray], int]:
    if min(len(p), len(q)) < FEWEST:
        raise InputError(f"{label}: {len(p)} and {len(q)} events given; a classifier needs at least {FEWEST} of each")
    scores = None if file is None or not file.is_file() else saved_scores(file)
    if scores is None:
        scores = two_sample_scores(p, w_p, q, w_q, seed=seed, **options, label=label)
        if file is not None:
            save_arrays(file, {"p": scores[0], "q": scores[1]}, provenance={})
    found = [_clipped(s) for s in scores]
    beyond = sum(int((np.abs(logit(s)) > LIMIT).sum()) for s in scores)
    return (found[0], found[1]), beyond


def saved_scores(file: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Scores of a finished repetition; None and a warning in the log if the file is truncated or damaged."""
    try:
        saved = load_arrays(file)
        return saved["p"], saved["q"]
    except (CorruptError, KeyError) as error:
        log.warning("%s; the file is not used, and this classifier is trained again", error)
        return None


def _clipped(scores: np.ndarray) -> np.ndarray:
    return np.clip(logit(scores), -LIMIT, LIMIT)


def _file(state: Path | None, label: str, k: int) -> Path | None:
    return None if state is None else Path(state) / f"{label.replace(' ', '_').replace('/', '_')}.{k}.safetensors"
