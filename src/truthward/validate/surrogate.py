"""Compare the sample of a surrogate with simulated events that were not in its training, at both levels."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from truthward.errors import InputError
from truthward.events.split import TEST
from truthward.events.table import EventTable
from truthward.ratio.classifier import Tabular
from truthward.records.shared import Flag
from truthward.records.validate.surrogate import AgainstSimulation, Atom, Fraction, Marginal, ValidatedSurrogate
from truthward.run.artefact import write_json
from truthward.run.provenance import Record
from truthward.study.seeds import seed_for
from truthward.validate import distances, metrics
from truthward.validate.distances import Counts
from truthward.validate.events import Thinned
from truthward.validate.flags import LARGE_PULL, flag, flag_distance, flag_two_sample
from truthward.validate.two_sample import two_sample_test

if TYPE_CHECKING:
    from truthward.study.observable import Observable

log = logging.getLogger("truthward.validate")

LEVELS = ("truth", "reco")

TIE = 0.005
"""A value that at least this share of the held-out events has is an atom, declared or not."""


@dataclass(frozen=True)
class SurrogateSample:
    """Events of a table: all `total` events, or the part that `Thinned` keeps, with weights that have the same sum.

    values: level -> (n, D) float32; passed: level -> (n,) bool; weights, process, member: (n,).
    """

    names: list[str]
    values: dict[str, np.ndarray]
    passed: dict[str, np.ndarray]
    weights: np.ndarray
    process: np.ndarray
    member: np.ndarray
    total: int

    @classmethod
    def of(
        cls, table: EventTable, names: list[str], *, held_out: bool | None, limit: int, key: int, nothing: str
    ) -> SurrogateSample:
        """Read the events of the split "test" (`held_out` true), of the other splits (false), or all (None).

        If the table has no column `member`, all events belong to one member.

        Raises:
            InputError: there is no event; `nothing` is the message.
        """
        have = ["member"] if "member" in table.columns else []
        columns = [f"{level}_{name}" for level in LEVELS for name in names]
        passes = [f"pass_{level}" for level in LEVELS]
        thinned, total = Thinned(limit, key), 0.0
        for batch in table.batches([*columns, *passes, "weight", "process", "split", "event_id", *have]):
            if held_out is not None:
                batch = batch.take((batch["split"] == TEST) == held_out)
            total += float(batch["weight"].sum())
            member = batch["member"] if have else np.zeros(len(batch["weight"]), dtype=int)
            levels = [np.stack([batch[f"{level}_{n}"] for n in names], axis=1) for level in LEVELS]
            passed = [batch[name] for name in passes]
            thinned.add(batch["event_id"], *levels, *passed, batch["weight"], batch["process"], member)
        if not thinned.total:
            raise InputError(f"{table.path}: {nothing}")
        _, truth, reco, *passed, weights, process, member = thinned.columns()
        if thinned.total > limit:
            weights = weights * (total / weights.sum())
        values = dict(zip(LEVELS, (truth, reco), strict=True))
        return cls(names, values, dict(zip(LEVELS, passed, strict=True)), weights, process, member, thinned.total)

    def joint(self, levels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Values (n, D * levels) and weights (n,) of the events that pass at all of `levels`."""
        mask = np.logical_and.reduce([self.passed[level] for level in levels])
        return np.concatenate([self.values[level][mask] for level in levels], axis=1), self.weights[mask]


def validate_surrogate(
    samples: str | Path,
    simulation: str | Path,
    observables: Sequence[Observable],
    *,
    seeds: int,
    epochs: int,
    classifier: Tabular = "dense",
    events: int,
    seed: int,
    record: Record,
    output: str | Path,
    state: Path | None = None,
) -> ValidatedSurrogate:
    """Compare a surrogate's sample with the split "test" of the simulation. Floors compare simulation with simulation.

    A surrogate can draw any number of events, so the square root of this number is not its error. Its error is the
    spread of its members (column `member`). Each member is trained on a bootstrap.

    Args:
        samples, simulation: event tables; observables: those of the study, at both levels.
        seeds, epochs, classifier: of the two-sample tests. events: largest number of events that are used from each
            sample. A hash of the ids chooses them. Other events are read, but no figure uses them.
        output: JSON artefact; state: folder for resuming.

    Returns:
        What was written: levels: {level: {observable: triangular and wasserstein1 ({value, floor, excess, significance,
        members}), pulls, atoms, non_integer, histogram (the surrogate scaled to the held-out yield)}}; categories:
        {process/pattern: {surrogate, sigma, simulation, simulation_sigma, pull}}; two_sample: {truth, reco, both:
        {surrogate, floor}}; used: sample -> {events, used}; flags; provenance.

    Raises:
        InputError: the simulation has no event in its split "test".
    """
    names = [o.name for o in observables]
    table = EventTable(simulation)
    thin: dict[str, Any] = {"limit": events, "key": seed_for(seed, "validate", "events")}
    reason = "no event in the test split; nothing was held out to judge the surrogate by"
    test = SurrogateSample.of(table, names, held_out=True, nothing=reason, **thin)
    reason = "no event outside of the test split; the floor is of those"
    rest = SurrogateSample.of(table, names, held_out=False, nothing=reason, **thin)
    drawn = SurrogateSample.of(EventTable(samples), names, held_out=None, nothing="no event at all", **thin)
    marginals = {
        level: {
            o.name: _marginal(o, level, drawn, test, seed_for(seed, "surrogate", level, o.name)) for o in observables
        }
        for level in LEVELS
    }
    categories = _categories(drawn, test)
    tests: dict[str, AgainstSimulation] = {}
    for which, levels in (("truth", ("truth",)), ("reco", ("reco",)), ("both", LEVELS)):
        log.info("surrogate: two-sample test, %s", which)
        (p, w_p), (q, w_q), (r, w_r) = (s.joint(levels) for s in (test, drawn, rest))
        settings: dict[str, Any] = {
            "seeds": seeds,
            "epochs": epochs,
            "classifier": classifier,
            "seed": seed_for(seed, which),
            "state": state,
        }
        tests[which] = {
            "surrogate": two_sample_test(p, w_p, q, w_q, label=f"surrogate {which}", **settings),
            "floor": two_sample_test(p, w_p, r, w_r, label=f"floor {which}", **settings),
        }
    content: ValidatedSurrogate = {
        "members": len(np.unique(drawn.member)),
        "levels": marginals,
        "categories": categories,
        "two_sample": tests,
        "used": {
            what: {"events": sample.total, "used": len(sample.weights)}
            for what, sample in (("surrogate", drawn), ("held_out", test), ("simulation", rest))
        },
        "flags": _flags(marginals, categories, tests),
        "provenance": record.finish(
            events_in=drawn.total + table.num_rows, events_out=test.total, sum_w=float(drawn.weights.sum())
        ),
    }
    write_json(output, content)
    return content


def _marginal(observable: Observable, level: str, drawn: SurrogateSample, test: SurrogateSample, seed: int) -> Marginal:
    edges, column = np.asarray(observable.edges), drawn.names.index(observable.name)
    x, t = (s.values[level][s.passed[level], column] for s in (drawn, test))
    w, w_t = (s.weights[s.passed[level]] for s in (drawn, test))
    member = drawn.member[drawn.passed[level]]
    counts, truth = Counts.of(x, w, edges), Counts.of(t, w_t, edges)
    each = [Counts.of(x[member == m], w[member == m], edges) for m in np.unique(member)]
    triangular = distances.discriminator(counts.inner, counts.size, truth, seed=seed)
    own = [distances.discriminator(c.inner, c.size, truth, seed=seed)["value"] for c in each]
    triangular["members"] = distances.repeated(own)
    total = truth.inner.sum()
    shape = counts.inner / counts.inner.sum() * total
    sigma_t = np.sqrt(truth.inner_variance)
    sigma = _spread(np.stack([c.inner / c.inner.sum() * total for c in each]))
    if len(each) == 1:
        sigma = np.sqrt(counts.inner_variance) / counts.inner.sum() * total
    both = np.hypot(sigma, sigma_t)
    pulls = [float((a - b) / s) if s > 0 else None for a, b, s in zip(shape, truth.inner, both, strict=True)]
    return {
        "triangular": triangular,
        "wasserstein1": distances.transport(x, w, t, w_t, seed=seed),
        "pulls": pulls,
        "atoms": _atoms(observable, x, w, member, t, w_t),
        "non_integer": float(np.abs(w[x != np.round(x)]).sum() / np.abs(w).sum()) if observable.integer else None,
        "histogram": {
            "edges": edges.tolist(),
            "surrogate": {"sum": shape.tolist(), "error": sigma.tolist()},
            "simulation": {"sum": truth.inner.tolist(), "error": sigma_t.tolist()},
        },
    }


def _atoms(
    observable: Observable, x: np.ndarray, w: np.ndarray, member: np.ndarray, t: np.ndarray, w_t: np.ndarray
) -> list[Atom]:
    """Probability of each atom, declared or found in the held-out events. In integers no atom is searched for."""
    atoms = [float(np.float32(a)) for a in observable.atoms]
    if not observable.integer:
        values, count = np.unique(t, return_counts=True)
        atoms += [float(v) for v in values[count >= max(TIE * len(t), 10)]]
    return [
        {"value": a, **_fraction(x == np.float32(a), w, member, t == np.float32(a), w_t)} for a in dict.fromkeys(atoms)
    ]


def _categories(drawn: SurrogateSample, test: SurrogateSample) -> dict[str, Fraction]:
    """Fraction of each category (process, levels at which the event passes) in the events that pass at any level."""
    labels = []
    for sample in (drawn, test):
        levels = [np.where(sample.passed[level], level, "") for level in LEVELS]
        pattern = np.char.strip(np.char.add(np.char.add(levels[0], "+"), levels[1]), "+")
        labels.append(np.where(pattern == "", "", np.char.add(np.char.add(sample.process.astype(str), "/"), pattern)))
    keep, keep_t = (label != "" for label in labels)
    return {
        str(name): _fraction(
            labels[0][keep] == name,
            drawn.weights[keep],
            drawn.member[keep],
            labels[1][keep_t] == name,
            test.weights[keep_t],
        )
        for name in np.unique(np.concatenate([labels[0][keep], labels[1][keep_t]]))
    }


def _fraction(chosen: np.ndarray, w: np.ndarray, member: np.ndarray, wanted: np.ndarray, w_t: np.ndarray) -> Fraction:
    """Weighted fractions of chosen events in surrogate and simulation, with errors and the pull between them."""
    found, expected = float(w[chosen].sum() / w.sum()), float(w_t[wanted].sum() / w_t.sum())
    each = np.array([w[chosen & (member == m)].sum() / w[member == m].sum() for m in np.unique(member)])
    sizes = [metrics.effective_sample_size(v) for v in (w, w_t)]
    pooled = min(max(expected, found, 0.0), 1.0)
    binomial = [float(np.sqrt(pooled * (1 - pooled) / n)) for n in sizes]
    # Category counts are not drawn at random, and members may agree by chance. So sigma is at least the sampling error.
    sigma = max(float(_spread(each[:, None])[0]), binomial[0])
    total = float(np.hypot(sigma, binomial[1]))
    return {
        "surrogate": found,
        "sigma": sigma,
        "simulation": expected,
        "simulation_sigma": binomial[1],
        "pull": (found - expected) / total if total > 0 else 0.0,
    }


def _spread(values: np.ndarray) -> np.ndarray:
    """Standard deviation over members, (K, B) -> (B,); zero for a single member."""
    return values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1])


def _flags(
    marginals: Mapping[str, Mapping[str, Marginal]],
    categories: Mapping[str, Fraction],
    tests: Mapping[str, AgainstSimulation],
) -> list[Flag]:
    found: list[Flag] = []
    for level, each in marginals.items():
        for observable, figures in each.items():
            place = f"{level}_{observable}"
            found += flag_distance("triangular", place, figures["triangular"])
            found += flag_distance("wasserstein1", place, figures["wasserstein1"])
            for atom in figures["atoms"]:
                if abs(atom["pull"]) > LARGE_PULL:
                    message = (
                        f"probability {atom['surrogate']:.4f} of {atom['value']:g}, {atom['simulation']:.4f} expected"
                    )
                    found.append(flag("atoms", place, message))
            if figures["non_integer"]:
                found.append(flag("integers", place, f"{figures['non_integer']:.2%} of the values are no integers"))
    for name, fraction in categories.items():
        if abs(fraction["pull"]) > LARGE_PULL:
            message = f"{name}: fraction {fraction['surrogate']:.4f}, {fraction['simulation']:.4f} expected"
            found.append(flag("categories", None, message))
    for which, test in tests.items():
        found += flag_two_sample(f"two_sample {which}", test["surrogate"])
    return found
