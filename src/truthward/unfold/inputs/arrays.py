"""The inputs of an unfolding as arrays, and the changes that each replica makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Never

import numpy as np

from truthward.errors import ConfigError, InputError
from truthward.events.bootstrap import poisson_weights
from truthward.events.constituents import hardest
from truthward.events.contract import SIGNAL, is_jagged
from truthward.events.split import VALIDATION, split_of
from truthward.events.table import EventTable
from truthward.unfold.inputs.totals import refuse, totals
from truthward.unfold.inputs.varied import Vary, variations_of

if TYPE_CHECKING:
    from truthward.study.observable import Observable

ROWS = 65536

Features = Mapping[str, Sequence[str]]
"""Level, "reco" or "truth" -> columns of that level that networks see in addition to the unfolded observables."""

NONE: Mapping[str, Never] = {}


@dataclass(frozen=True)
class Replica:
    """One unfolding: the nominal one, or the `index`-th of a family."""

    family: str
    index: int

    def __str__(self) -> str:
        return f"{self.family}:{self.index}"

    @property
    def anew(self) -> bool:
        """Whether its networks have their own initial weights and batches."""
        return self.family in ("initialisation", "combined")

    def column(self, observable: str | None = None) -> str:
        """Its weight column in the unfolded sample; `observable` for methods that unfold one at a time."""
        prefix = "" if observable is None else f"{observable}:"
        if self == NOMINAL:
            return "weight" if observable is None else f"weight:{observable}"
        return f"replica:{prefix}{self.family}:{self.index}"


NOMINAL = Replica("nominal", 0)


@dataclass
class Inputs:
    """Simulation and data as arrays, N and M events, D unfolded observables.

    truth, reco: (N, D) float32, NaN if not `pass_truth`, `pass_reco`; weight: (N,) float64, any sign, sum = expected
    yield; signal: (N,) bool, False for background processes; carried: every truth observable of the simulation,
    unfolded or not, name -> (N,) float32. data_*: the M data events that pass at reco level. seed: seed of the study;
    bootstraps are the same for all methods. whole: whether these are all events, or a block of them. backgrounds:
    process -> (N,) bool, for each process that is not signal.

    variations: systematic name -> function of the replica's index. It returns the arrays that change: `reco` (N, D),
    `features` (N, F) at reco level, `pass_reco` (N,) and `weight` (N,), or some of them. kinds: systematic name ->
    "closure" if its weights make pseudo-data, or "regularisation" if it is a pair of half and twice the iterations. All
    other systematics are columns that vary the simulation.

    constituents: if asked for, "truth" and "reco" (N, P, 4) and "data" (M, P, 4), see `events.constituents.hardest`; no
    variation moves them. features: columns that networks see in addition to the observables and that are not unfolded,
    "truth" and "reco" (N, F) and "data" (M, F) float32; F may differ between levels. feature_names: their names at
    "truth" and "reco" level, in the order of the columns.
    """

    observables: Sequence[Observable]
    truth: np.ndarray
    reco: np.ndarray
    pass_truth: np.ndarray
    pass_reco: np.ndarray
    weight: np.ndarray
    event_id: np.ndarray
    signal: np.ndarray
    split: np.ndarray
    carried: Mapping[str, np.ndarray]
    data_reco: np.ndarray
    data_weight: np.ndarray
    data_id: np.ndarray
    data_validation: np.ndarray
    seed: int
    variations: Mapping[str, Vary] = field(default_factory=dict)
    constituents: Mapping[str, np.ndarray] = field(default_factory=dict)
    features: Mapping[str, np.ndarray] = field(default_factory=dict)
    feature_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    backgrounds: Mapping[str, np.ndarray] = field(default_factory=dict)
    whole: bool = True
    kinds: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Names of the unfolded observables, in the order of the columns."""
        return [o.name for o in self.observables]

    def seen(self, level: Literal["truth", "reco", "data"]) -> np.ndarray:
        """The columns that networks see at a level: the unfolded observables, then the features.

        (N, D + F), or (M, D + F) for the data.
        """
        values = {"truth": self.truth, "reco": self.reco, "data": self.data_reco}[level]
        more = self.features.get(level)
        return values if more is None or not more.shape[1] else np.concatenate([values, more], axis=1)

    @property
    def validation(self) -> np.ndarray:
        """(N,) bool, simulated events held out in trainings."""
        return self.split == VALIDATION

    @property
    def fiducial(self) -> np.ndarray:
        """(N,) bool, signal within the truth acceptance: the rows of the result, including misses."""
        return self.pass_truth & self.signal

    @property
    def matched(self) -> np.ndarray:
        """(N,) bool, fiducial events that were reconstructed: they connect the two levels."""
        return self.fiducial & self.pass_reco

    @property
    def fakes(self) -> np.ndarray:
        """(N,) bool, reconstructed signal from outside the fiducial region."""
        return self.pass_reco & self.signal & ~self.pass_truth

    @property
    def background(self) -> np.ndarray:
        """(N,) bool, reconstructed events of other processes, for any truth."""
        return self.pass_reco & ~self.signal

    @property
    def fixed(self) -> np.ndarray:
        """(N,) bool, reconstructed events from outside the fiducial region: fakes and background."""
        return self.pass_reco & ~self.fiducial

    @classmethod
    def load(
        cls,
        data: EventTable,
        simulation: EventTable,
        observables: Sequence[Observable],
        *,
        seed: int,
        constituents: int = 0,
        features: Features = NONE,
        kinds: Mapping[str, str] = NONE,
    ) -> Inputs:
        """Read both tables, with this number of constituents of each event (or none) and the features of each level.

        kinds: kinds of the systematics that are not columns themselves, see the class.

        Raises:
            InputError: a column is missing, or no event is left at reco level or in the fiducial region.
            ConfigError: a feature is unfolded itself.
        """
        of_simulation, of_data = columns_of(simulation, observables, features)
        inputs = cls.from_columns(
            simulation.read(of_simulation),
            data.read(of_data),
            observables,
            seed=seed,
            variations=variations_of(simulation, [o.name for o in observables], features=features.get("reco", ())),
            features=features,
            kinds=kinds,
        )
        if len(inputs.data_reco) == 0:
            raise InputError(f"{data.path}: no event passes at reco level; loosen the selection")
        if not inputs.matched.any():
            processes = ", ".join(map(repr, sorted(inputs.backgrounds))) or "none"
            raise InputError(
                f"{simulation.path}: no event of the process {SIGNAL!r} passes at both levels (other processes found: "
                f"{processes}); loosen the selection, or label the process that is unfolded {SIGNAL!r}"
            )
        if constituents:
            accepted = data.read(["pass_reco"])["pass_reco"]
            found = {level: hardest(simulation, level, constituents) for level in ("truth", "reco")}
            inputs.constituents = found | {"data": hardest(data, "reco", constituents)[accepted]}
        return inputs

    @classmethod
    def from_columns(
        cls,
        simulation: Mapping[str, np.ndarray],
        data: Mapping[str, np.ndarray],
        observables: Sequence[Observable],
        *,
        seed: int,
        variations: Mapping[str, Vary] | None = None,
        features: Features = NONE,
        whole: bool = True,
        kinds: Mapping[str, str] = NONE,
    ) -> Inputs:
        """Make inputs from the columns of event tables, name -> (N,) and (M,).

        If `split` is missing it is the hash of the id, and if `process` is missing all events are signal. Values are
        set to NaN if the flag of their level is false.

        Raises:
            ConfigError: a feature is unfolded itself.
        """
        names = [o.name for o in observables]
        process = simulation.get("process", np.full(len(simulation["weight"]), SIGNAL))
        accepted = data["pass_reco"]
        beside = {prefix: list(features.get(prefix, ())) for prefix in ("truth", "reco")}
        if twice := [f"features.{prefix}: {n!r}" for prefix, own in beside.items() for n in own if n in names]:
            raise ConfigError(f"{twice[0]} is unfolded, so the networks see it already; remove it here")

        def level(columns: Mapping[str, np.ndarray], prefix: str, names: Sequence[str] = names) -> np.ndarray:
            if not names:
                return np.empty((len(columns["weight"]), 0), dtype=np.float32)
            values = np.stack([columns[f"{prefix}_{n}"] for n in names], axis=1).astype(np.float32)
            values[~columns[f"pass_{prefix}"]] = np.nan
            return values

        def split(columns: Mapping[str, np.ndarray]) -> np.ndarray:
            return columns["split"] if "split" in columns else split_of(columns["event_id"])

        return cls(
            observables=observables,
            truth=level(simulation, "truth"),
            reco=level(simulation, "reco"),
            pass_truth=simulation["pass_truth"],
            pass_reco=simulation["pass_reco"],
            weight=simulation["weight"],
            event_id=simulation["event_id"],
            signal=process == SIGNAL,
            split=split(simulation),
            carried={c.removeprefix("truth_"): v for c, v in simulation.items() if c.startswith("truth_")},
            data_reco=level(data, "reco")[accepted],
            data_weight=data["weight"][accepted],
            data_id=data["event_id"][accepted],
            data_validation=split(data)[accepted] == VALIDATION,
            seed=seed,
            backgrounds={str(name): process == name for name in np.unique(process) if name != SIGNAL},
            whole=whole,
            variations=variations or {},
            features={
                "truth": level(simulation, "truth", beside["truth"]),
                "reco": level(simulation, "reco", beside["reco"]),
                "data": level(data, "reco", beside["reco"])[accepted],
            },
            feature_names=beside,
            kinds=kinds,
        )

    def varied(self, replica: Replica) -> Inputs:
        """The inputs of one replica.

        A replica has other weights; a systematic may also have other reco values and another acceptance at reco level.
        Everything else is shared. All replicas have the same truth and so the same fiducial region. Kind closure
        replaces the data by pseudo-data instead, and kind regularisation changes nothing.

        Raises:
            ConfigError: an unknown family, or a systematic for which the simulation has no columns.
            InputError: a variation accepts events without reco values, moves events but not their constituents, or
                leaves no signal event; a total that no method can unfold (see `totals.refuse`).
        """
        changed = self._vary(replica)
        if self.whole:
            refuse(totals(changed), totals(self), replica)
        return changed

    def _vary(self, replica: Replica) -> Inputs:
        kind, _, name = replica.family.partition(":")
        if kind in ("nominal", "initialisation") or self.kind_of(replica) == "regularisation":
            return self
        if self.kind_of(replica) == "closure":
            return self._pseudo_data(replica)
        if kind == "combined":
            data, simulation = (Replica(f, -1 - replica.index) for f in ("data_bootstrap", "mc_bootstrap"))
            return replace(
                self,
                data_weight=self.data_weight * self._counts(self.data_id, data),
                weight=self.weight * self._counts(self.event_id, simulation),
            )
        if kind == "data_bootstrap":
            return replace(self, data_weight=self.data_weight * self._counts(self.data_id, replica))
        if kind == "mc_bootstrap":
            return replace(self, weight=self.weight * self._counts(self.event_id, replica))
        if kind == "systematic" and name in self.variations:
            change = self.variations[name](replica.index)
            if unknown := sorted(set(change) - {"reco", "features", "pass_reco", "weight"}):
                raise TypeError(f"{replica}: a variation cannot replace {unknown[0]}")
            if self.constituents and {"reco", "pass_reco"} & set(change):
                raise InputError(
                    f"{replica}: shifts observables at reco level, but the method sees constituents, which do not "
                    "shift; use `inputs: observables` with this systematic, or vary weights only"
                )
            features = {**self.features, "reco": change["features"]} if "features" in change else self.features
            changed = replace(
                self,
                reco=change.get("reco", self.reco),
                pass_reco=change.get("pass_reco", self.pass_reco),
                weight=change.get("weight", self.weight),
                features=features,
            )
            lacking = ~np.isfinite(changed.seen("reco")[changed.pass_reco]).all(axis=1)
            if lacking.any():
                columns = [*self.names, *self.feature_names.get("reco", ())]
                raise InputError(
                    f"{replica}: {lacking.sum()} of {len(lacking)} accepted events have no reco value; give a column "
                    f"reco_<observable>:{name}:{replica.index} for each of {', '.join(columns)}"
                )
            if self.matched.any() and not changed.matched.any():
                raise InputError(f"{replica}: no signal event passes at both levels; check the unit of the shift")
            return changed
        known = ", ".join(
            [
                "data_bootstrap",
                "mc_bootstrap",
                "initialisation",
                "combined",
                *(f"systematic:{v}" for v in self.variations),
            ]
        )
        raise ConfigError(f"family {replica.family!r} is not known; valid: {known}")

    def kind_of(self, replica: Replica) -> str:
        """ "closure" or "regularisation" if a replica is of such a systematic, else an empty string."""
        family, _, name = replica.family.partition(":")
        return self.kinds.get(name, "") if family == "systematic" else ""

    def pseudo_weight(self, replica: Replica) -> np.ndarray:
        """Weights (N,) that make the simulated events pseudo-data with known truth, for a systematic of kind closure.

        Raises:
            ConfigError: the simulation has no such weights.
        """
        name = replica.family.partition(":")[2]
        if name not in self.variations:
            raise ConfigError(
                f"family {replica.family!r}: the simulation has no column weight:{name}:{replica.index}; map it"
            )
        return self.variations[name](replica.index)["weight"]

    def _pseudo_data(self, replica: Replica) -> Inputs:
        passed = self.pass_reco

        def as_data(levels: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
            return {**levels, "data": levels["reco"][passed]} if levels else levels

        return replace(
            self,
            data_reco=self.reco[passed],
            data_weight=self.pseudo_weight(replica)[passed],
            data_id=self.event_id[passed],
            data_validation=self.validation[passed],
            features=as_data(self.features),
            constituents=as_data(self.constituents),
        )

    def rows(self, weights: Mapping[str, np.ndarray], rows: int = ROWS) -> Iterator[dict[str, np.ndarray]]:
        """Rows of an unfolded sample that re-weights the simulation.

        weights: column name -> (n,), one for each fiducial event.
        """
        chosen = np.flatnonzero(self.fiducial)
        for start in range(0, len(chosen), rows):
            part = chosen[start : start + rows]
            yield (
                {f"truth_{n}": v[part] for n, v in self.carried.items()}
                | {"event_id": self.event_id[part], "split": self.split[part]}
                | {n: w[start : start + rows] for n, w in weights.items()}
            )

    def counts(self, replica: Replica) -> tuple[np.ndarray, np.ndarray]:
        """Poisson counts of the data (M,) and of the simulation (N,) for a replica that chooses with them."""
        # Two families, because both samples may have the same ids.
        data, simulation = (Replica(f"{replica.family}:{s}", replica.index) for s in ("data", "simulation"))
        return self._counts(self.data_id, data), self._counts(self.event_id, simulation)

    def _counts(self, ids: np.ndarray, replica: Replica) -> np.ndarray:
        return poisson_weights(ids, seed=self.seed, family=replica.family, index=replica.index)


def columns_of(
    simulation: EventTable, observables: Sequence[Observable], features: Features = NONE
) -> tuple[list[str], list[str]]:
    """Columns of the simulation and of the data that `Inputs.from_columns` needs."""
    names = [o.name for o in observables]
    truths = [c for c in simulation.columns if c.startswith("truth_") and not is_jagged(c)]
    truths += (f"truth_{n}" for n in (*names, *features.get("truth", ())))
    recos = [*names, *features.get("reco", ())]
    both = [*(f"reco_{n}" for n in recos), "pass_reco", "weight", "event_id", "split"]
    return [*dict.fromkeys(truths), *both, "pass_truth", "process"], both
