"""Families of replicas, their part of the uncertainty, and histograms with replicas."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from truthward.errors import ConfigError, InputError


class RankWarning(UserWarning):
    """A covariance matrix has more bins than its replicas can support: it is singular, and must not be inverted."""


@dataclass(frozen=True)
class Family:
    """How the replicas of one source of uncertainty combine into a covariance (2109.13243).

    For the histograms h (R, B) of the replicas about a centre c (B,), their own mean or the nominal histogram:
    S = sum_r (h_r - c)(h_r - c)^T / (R - ddof). The covariance is S where the family states the `spread` of a member,
    and S / R where the published central value is the mean of the members (`error_of_mean`).
    Covariances of different families add.

    Raises:
        ConfigError: for fewer than ddof + 1 replicas.
    """

    name: str
    count: int
    statement: Literal["spread", "error_of_mean"]
    ddof: int
    centre: Literal["mean", "nominal"]

    def __post_init__(self) -> None:
        if self.count <= self.ddof:
            raise ConfigError(f"family {self.name}: {self.count} replicas given; at least {self.ddof + 1} are needed")

    def covariance(self, replicas: np.ndarray, nominal: np.ndarray) -> np.ndarray:
        """Covariance (B, B) from the histograms of the replicas (R, B) and the nominal one (B,)."""
        distance = self._distance(replicas, nominal)
        return distance.T @ distance / self._divisor

    def variance(self, replicas: np.ndarray, nominal: np.ndarray) -> np.ndarray:
        """The diagonal (B,) of `covariance`."""
        return (self._distance(replicas, nominal) ** 2).sum(axis=0) / self._divisor

    @property
    def adds(self) -> bool:
        """Whether it is a part of the total. Combined replicas, in which everything fluctuates, only check the sum."""
        return self.name != "combined"

    def to_json(self) -> dict[str, Any]:
        """The fields, as they are stored in artefacts."""
        return asdict(self)

    def _distance(self, replicas: np.ndarray, nominal: np.ndarray) -> np.ndarray:
        if replicas.shape[0] != self.count:
            raise InputError(f"family {self.name}: {replicas.shape[0]} replicas given, {self.count} declared")
        return replicas - (replicas.mean(axis=0) if self.centre == "mean" else nominal)

    @property
    def _divisor(self) -> int:
        return (self.count - self.ddof) * (self.count if self.statement == "error_of_mean" else 1)


# A systematic variation is one direction: its shift is taken from the nominal, so one replica is enough. A pair (up,
# down) gives half the sum of squares of its two shifts: sigma^2 for plus and minus one sigma, and the mean square about
# the nominal if both shift to the same side. Independent sources, such as eigenvectors, need families of their own: a
# mean over all of them in one family would be too small.
FAMILIES: dict[str, dict[str, Any]] = {
    "data_bootstrap": {"statement": "spread", "ddof": 1, "centre": "mean"},
    "mc_bootstrap": {"statement": "spread", "ddof": 1, "centre": "mean"},
    "initialisation": {"statement": "spread", "ddof": 1, "centre": "mean"},
    "combined": {"statement": "spread", "ddof": 1, "centre": "mean"},
    "systematic": {"statement": "spread", "ddof": 0, "centre": "nominal"},
}


def family(name: str, count: int) -> Family:
    """The family with this name; all systematics, `systematic:<name>`, share one convention.

    >>> family("systematic:calibration", 4).centre
    'nominal'

    Raises:
        ConfigError: for an unknown name or too few replicas.
    """
    kind, _, which = name.partition(":")
    if kind not in FAMILIES or (kind == "systematic") != bool(which):
        known = ", ".join(f"{k}:<name>" if k == "systematic" else k for k in FAMILIES)
        raise ConfigError(f"family {name!r} is not known; valid: {known}")
    return Family(name=name, count=count, **FAMILIES[kind])


@dataclass
class Histogram:
    """A histogram with the replicas of every family.

    edges: (B + 1,); nominal: (B,); replicas: family name -> (R, B). Contents are expected events per bin, or per unit
    of the observable after `density`. Entries outside of the edges are in no bin.
    """

    edges: np.ndarray
    nominal: np.ndarray
    replicas: dict[str, np.ndarray]
    families: dict[str, Family]

    def covariance(self, families: Iterable[str] | None = None) -> np.ndarray:
        """Covariance (B, B), summed over the named families, or over all that add.

        Warns:
            RankWarning: the number of bins is larger than the degrees of freedom of the replicas (R - ddof, summed over
                the families), so the matrix is singular.
        """
        bins = self.nominal.size
        chosen = [self.families[name] for name in self._chosen(families)]
        rank = sum(member.count - member.ddof for member in chosen)
        if chosen and rank < bins:
            warnings.warn(
                f"{', '.join(f'{m.name} ({m.count} replicas)' for m in chosen)}: the covariance of {bins} bins has "
                f"rank {rank} at most, so it has no inverse; merge bins to at most a third of the replicas",
                RankWarning,
                stacklevel=2,
            )
        return sum(
            (member.covariance(self.replicas[member.name], self.nominal) for member in chosen), np.zeros((bins, bins))
        )

    @property
    def parts(self) -> list[str]:
        """Names of the families that add up to the total."""
        return [name for name, f in self.families.items() if f.adds]

    def breakdown(self) -> dict[str, np.ndarray]:
        """Variance (B,) of each family that adds."""
        return {n: self.families[n].variance(self.replicas[n], self.nominal) for n in self.parts}

    def residual(self) -> np.ndarray | None:
        """Variance (B,) of the combined replicas minus the sum of data, simulation and initialisation.

        It can have both signs: with few replicas it is mostly noise. None if these families are missing.
        """
        if "combined" not in self.families:
            return None
        whole = self.families["combined"].variance(self.replicas["combined"], self.nominal)
        return whole - sum(v for n, v in self.breakdown().items() if not n.startswith("systematic:"))

    @property
    def sigma(self) -> np.ndarray:
        """Total standard deviation (B,). A low rank does not affect the diagonal, so there is no warning."""
        return np.sqrt(sum(self.breakdown().values(), start=np.zeros(self.nominal.size)))

    def density(self) -> Histogram:
        """Per unit of the observable: contents divided by the width of their bin; the yield is kept."""
        return self._map(lambda contents: contents / np.diff(self.edges))

    def normalised(self) -> Histogram:
        """Unit area: the nominal and each replica divided by their own integral, so that the yield's error drops out.

        Raises:
            InputError: where the nominal or a replica has no positive sum within the edges.
        """
        for name, contents in {"nominal": self.nominal[None], **self.replicas}.items():
            if not (contents.sum(axis=1) > 0).all():
                raise InputError(
                    f"{name}: the sum of the weights within [{self.edges[0]}, {self.edges[-1]}] is not positive; "
                    "check the weights and the edges"
                )
        return self._map(lambda c: c / c.sum(axis=-1, keepdims=True) / np.diff(self.edges))

    def merged(self, edges: np.ndarray) -> Histogram:
        """The same counts in wider bins; the new edges must be a subset of the present ones. Not for densities.

        Raises:
            InputError: where an edge is not among the present ones.
        """
        start = np.searchsorted(self.edges, edges)
        if start[-1] >= self.edges.size or not np.array_equal(self.edges[start], edges):
            raise InputError("the edges of merged bins must be a subset of the histogram's edges")
        whole = self._map(lambda c: np.add.reduceat(c[..., : start[-1]], start[:-1], axis=-1))
        whole.edges = np.asarray(edges, dtype=float)
        return whole

    def _chosen(self, families: Iterable[str] | None) -> list[str]:
        chosen = self.parts if families is None else list(families)
        if unknown := [name for name in chosen if name not in self.families]:
            raise InputError(f"no family {unknown[0]!r}; there are: {', '.join(self.families) or 'none'}")
        return chosen

    def _map(self, change: Any) -> Histogram:
        replicas = {name: change(contents) for name, contents in self.replicas.items()}
        return Histogram(self.edges, change(self.nominal), replicas, self.families)


def stated_as(families: Iterable[str], model: Iterable[str]) -> str:
    """The name of a band with these families: "total uncertainty" if one of them is a model uncertainty, else a list of
    its contents.

    >>> stated_as(["data_bootstrap", "initialisation"], [])
    'statistical and initialisation uncertainty only'
    >>> stated_as(["data_bootstrap", "systematic:jes"], ["systematic:closure"])
    'statistical and jes uncertainty only'
    >>> stated_as(["mc_bootstrap", "systematic:closure"], ["systematic:closure"])
    'total uncertainty'
    """
    names = list(families)
    if set(names) & set(model):
        return "total uncertainty"
    found = ["statistical"] if any(n.endswith("_bootstrap") for n in names) else []
    found += [n.removeprefix("systematic:") for n in names if not n.endswith("_bootstrap") and n != "combined"]
    if not found:
        return "no uncertainty"
    text = " and ".join(found if len(found) < 3 else [", ".join(found[:-1]), found[-1]])
    return f"{text} uncertainty only"


def end_to_end(histograms: Sequence[Histogram]) -> Histogram:
    """Histograms of one result as one histogram with (B_1 + B_2 + ...) bins, numbered from 0.

    Its covariance also has the correlations between observables: a replica is the same experiment for all of them.

    Raises:
        InputError: where the histograms have different families.
    """
    first = histograms[0]
    if any(h.families != first.families for h in histograms):
        raise InputError("the histograms have different families of replicas; take histograms of one result")
    nominal = np.concatenate([h.nominal for h in histograms])
    replicas = {name: np.concatenate([h.replicas[name] for h in histograms], axis=1) for name in first.families}
    return Histogram(np.arange(nominal.size + 1.0), nominal, replicas, first.families)


def weight_columns(families: Mapping[str, Family], observable: str | None = None) -> list[str]:
    """Names of the weight columns, the nominal first, then the replicas family by family.

    Joint methods have one such set (`observable` None), the others one for each unfolded observable. In files of
    stacked blocks, the position in this list is the number of the block that the column weights, unless it is block 0.
    """
    prefix = "" if observable is None else f"{observable}:"
    nominal = "weight" if observable is None else f"weight:{observable}"
    return [nominal, *(f"replica:{prefix}{f.name}:{i}" for f in families.values() for i in range(f.count))]
