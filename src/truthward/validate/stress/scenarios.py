"""The stress scenarios: pseudo-data with known truth, made from the study's own simulation.

A hash of the event id divides the simulation. One half is the simulation of the unfolding. The other half is changed
and is the pseudo-data. No event is in both halves. All changes except one are weights that depend on the truth only, so
they do not change the response.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from truthward.errors import ConfigError
from truthward.events.contract import SIGNAL
from truthward.events.hashing import uniform
from truthward.learn.fit import Settings
from truthward.learn.scaling import RankScaling
from truthward.ratio.classifier import density_ratio, logits, stack_of
from truthward.ratio.reweight import train_mean
from truthward.study.seeds import seed_for
from truthward.unfold.inputs.arrays import NONE, Features, Inputs

if TYPE_CHECKING:
    from truthward.study.observable import Observable

PRIOR, HIDDEN, MISMATCH, STARVED, DATA = (
    "prior_swap",
    "hidden_variable",
    "response_mismatch",
    "starvation",
    "data_driven",
)
QUESTIONS = {
    PRIOR: "the truth is far from the simulation's: does the method leave its prior?",
    HIDDEN: "the truth differs in a variable that is not unfolded: does the response still hold?",
    MISMATCH: "the detector differs from the simulated one, built to fail: is the wrong truth seen at reco level?",
    STARVED: "a tenth of the events: do the uncertainties grow, and still cover?",
    DATA: "the simulation is made to look like the data: does the method find the truth behind it?",
}
"""The scenarios, in order, and what each asks."""

WIDTH, DEPTH, EPOCHS = 32, 2, 10
"""Options of the classifier of data against simulation. Any smooth function from simulation towards data is enough."""

CONSTITUENTS = "constituents:"
"""Prefix of the level in the name of a column of padded constituents, (N, C, F)."""

Columns = Mapping[str, np.ndarray]
Factor = Callable[[Columns], np.ndarray]
"""Truth columns (n,) by name of the observable -> factor on the events' weights (n,)."""


@dataclass(frozen=True)
class Scenario:
    """One scenario.

    truth: name -> (n,), of the fiducial events of the pseudo-data; weight: (n,), of the same events. factor: the
    function that re-weighted them; None if there is none. skipped: the reason if there are no inputs.
    """

    name: str
    inputs: Inputs | None
    truth: Columns
    weight: np.ndarray
    factor: Factor | None = None
    note: str = ""
    skipped: str | None = None


def scenarios(
    simulation: Columns,
    data: Columns,
    observables: Sequence[Observable],
    *,
    strength: float,
    hidden: str | None,
    scaled: str | None,
    scale: float,
    share: float,
    seed: int,
    features: Features = NONE,
) -> Iterator[Scenario]:
    """Make the scenarios, one after the other.

    Args:
        simulation, data: columns of the event tables, as `Inputs.from_columns` takes them. The simulation also has
            CONSTITUENTS of both levels if the method uses them.
        strength: of the re-weighting exp(strength tanh u). u has zero mean and unit width. It is the sum of the normal
            scores of all observables, or of the hidden variable only.
        hidden: truth variable that is not unfolded. None takes the first such variable, if there is one.
        scaled, scale: the reco value of the observable `scaled` is multiplied by `scale`. None takes the first
            continuous observable without atoms.
        share: share of the events that starvation keeps.
        features: features of the method's networks. The scaling of an observable does not change them.

    Raises:
        ConfigError: `hidden` or `scaled` is not a valid variable for its scenario.
    """
    names = [o.name for o in observables]
    hidden, scaled = _hidden(hidden, simulation, names), _scaled(scaled, observables)
    half = uniform(simulation["event_id"], seed_for(seed, "stress", "half")) < 0.5
    few = uniform(simulation["event_id"], seed_for(seed, "stress", "few")) < share

    def make(name: str, factor: Factor | None = None, kept: Any = True, reco: Columns | None = None, note: str = ""):
        return _scenario(
            name, simulation, observables, half & kept, ~half & kept, factor, reco or {}, note, seed, features
        )

    swap = _far(simulation, names, strength)
    yield make(PRIOR, swap)
    if hidden is None:
        yield _skipped(HIDDEN, "the simulation has no truth variable that is not unfolded")
    else:
        yield make(HIDDEN, _far(simulation, [hidden], strength), note=hidden)
    if scaled is None:
        yield _skipped(MISMATCH, "no unfolded observable is continuous and without atoms")
    elif any(n.startswith(CONSTITUENTS) for n in simulation):
        yield _skipped(MISMATCH, f"the method looks at constituents, which would not be scaled along with {scaled}")
    else:
        shifted = {f"reco_{scaled}": simulation[f"reco_{scaled}"] * np.float32(scale)}
        yield make(MISMATCH, reco=shifted, note=f"reco {scaled} scaled by {scale:g}")
    yield make(STARVED, swap, few)
    yield make(DATA, _towards_data(simulation, data, names, seed_for(seed, "stress", "towards data")))


def _skipped(name: str, why: str) -> Scenario:
    return Scenario(name, None, {}, np.zeros(0), skipped=why)


def fiducial_of(columns: Columns) -> np.ndarray:
    """(N,) bool: signal events within the truth acceptance."""
    return columns["pass_truth"] & (columns["process"] == SIGNAL)


def _scenario(
    name: str,
    simulation: Columns,
    observables: Sequence[Observable],
    unfolds: np.ndarray,
    is_data: np.ndarray,
    factor: Factor | None,
    reco: Columns,
    note: str,
    seed: int,
    features: Features,
) -> Scenario:
    nature = {n: v[is_data] for n, v in {**simulation, **reco}.items()}
    inside = fiducial_of(nature)
    truth = {n.removeprefix("truth_"): v[inside] for n, v in nature.items() if n.startswith("truth_")}
    if factor is not None:
        nature["weight"] = nature["weight"].copy()
        nature["weight"][inside] *= factor(truth)
    inputs = Inputs.from_columns(
        {n: v[unfolds] for n, v in simulation.items()}, nature, observables, seed=seed, features=features
    )
    inputs.constituents = {
        n.removeprefix(CONSTITUENTS): v[unfolds] for n, v in simulation.items() if n.startswith(CONSTITUENTS)
    }
    if inputs.constituents:
        inputs.constituents["data"] = nature[f"{CONSTITUENTS}reco"][nature["pass_reco"]]
    return Scenario(name, inputs, truth, nature["weight"][inside], factor, note)


def _far(simulation: Columns, names: Sequence[str], strength: float) -> Factor:
    """exp(strength tanh u): u is the sum of the observables' normal scores, scaled to unit width."""
    inside = fiducial_of(simulation)
    w = np.abs(simulation["weight"][inside])
    values = {n: simulation[f"truth_{n}"][inside] for n in names}

    def stacked(columns: Columns) -> torch.Tensor:
        return torch.from_numpy(np.stack([columns[n] for n in names], axis=1).astype(np.float32))

    scaling = RankScaling(len(names), spikes=False).fit((stacked(values), torch.from_numpy(w)))

    def along(columns: Columns) -> np.ndarray:
        return scaling(stacked(columns)).double().sum(1).numpy()

    width = float(np.sqrt(np.average(along(values) ** 2, weights=w))) or 1.0
    return lambda columns: np.exp(strength * np.tanh(along(columns) / width))


def _towards_data(simulation: Columns, data: Columns, names: Sequence[str], seed: int) -> Factor:
    """E[omega(reco) | truth], where omega is the ratio of data to simulation at reco level.

    The ratio is averaged at fixed truth before it is used as a weight. A weight that depends on the reco values would
    also change the response. Then no method could find the truth of the sample.
    """
    accepted = simulation["pass_reco"]
    matched = fiducial_of(simulation) & accepted

    def level(columns: Columns, prefix: str, chosen: np.ndarray) -> np.ndarray:
        return np.stack([columns[f"{prefix}_{n}"][chosen] for n in names], axis=1).astype(np.float32)

    reco, weight = level(simulation, "reco", accepted), simulation["weight"][accepted]
    measured = level(data, "reco", data["pass_reco"])
    ratio = density_ratio(
        measured,
        data["weight"][data["pass_reco"]],
        reco,
        weight,
        seed=seed_for(seed, "reco"),
        epochs=EPOCHS,
        learning_rate=5e-3,
        width=WIDTH,
        depth=DEPTH,
        label="data over simulation",
    )
    omega = np.exp(ratio.log_ratio(reco))[matched[accepted]][:, None]
    truth = torch.from_numpy(level(simulation, "truth", matched))
    scaling = RankScaling(len(names)).fit((truth, torch.from_numpy(simulation["weight"][matched])))
    stack = stack_of(scaling, [seed_for(seed, "initial")], width=WIDTH, depth=DEPTH)
    settings = Settings(epochs=EPOCHS, batch_size=1024, learning_rate=5e-3)
    offset, _ = train_mean(stack, scaling(truth), omega, simulation["weight"][matched][:, None], settings, seed=seed)

    def factor(columns: Columns) -> np.ndarray:
        x = torch.from_numpy(np.stack([columns[n] for n in names], axis=1).astype(np.float32))
        return np.exp(logits(stack, scaling(x))[:, 0] + offset[0])

    return factor


def _hidden(name: str | None, simulation: Columns, unfolded: Sequence[str]) -> str | None:
    others = [c.removeprefix("truth_") for c in simulation if c.startswith("truth_")]
    others = [o for o in others if o not in unfolded]
    if name is not None and name not in others:
        raise ConfigError(
            f"validate.stress.hidden: {name!r} given; a truth variable that is not unfolded is expected; valid: "
            f"{others}"
        )
    return name or next(iter(others), None)


def _scaled(name: str | None, observables: Sequence[Observable]) -> str | None:
    smooth = [o.name for o in observables if not (o.integer or o.atoms)]
    if name is not None and name not in smooth:
        raise ConfigError(
            f"validate.stress.scaled: {name!r} given; an observable that is continuous and has no atoms is expected; "
            f"valid: {smooth}"
        )
    return name or next(iter(smooth), None)
