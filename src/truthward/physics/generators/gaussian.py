"""A generator whose truth distribution is known in closed form, in up to ten dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit, ndtr

from truthward.errors import ConfigError
from truthward.physics.generators.base import PROCESSES, Generator
from truthward.physics.observables import ABSENT

MAX_DIMENSIONS = 10
SIGNAL, FAKE, BACKGROUND = 0, 1, 2
VARIED = ("bias", "resolution", "mean", "background")


class Gaussian(Generator):
    """Independent normal truth, smeared, with misses, fakes, background and signed weights of known distribution.

    Truth inside the fiducial region: x_d ~ N(mean_d, width_d), *exactly*, for all values of the other options.
    Reco: r_d = x_d + bias_d + resolution_d n_d, n_d ~ N(0, 1). In addition r_0 is shifted by leak x_(D-1).

    - Misses: a fiducial event is reconstructed with the probability e(x_0), see `efficiency_at`. It depends on the
      truth.
    - Fakes: reconstructed events from outside the fiducial region. At the reco value r_0 their share of the
      reconstructed signal is f(r_0), see `fake_share_at`. This function does not depend on mean and width. So a
      simulation with a wrong prior has the right f, and an unfolder that treats fakes correctly must show no bias.
    - Background: process "background", r_d ~ N(background_mean, background_width), no truth.
    - Signed weights: a random share of all events has weight -w and the others have +w, w = 1/(1 - 2 share). All
      expectations stay the same, and variances grow by w^2.

    Variations: the same events, as a generator with another parameter would make them, up (0) and down (1).

    - `bias`: r_d moves by +-a, also for background. `resolution`: resolution_d (1 +- a), with the same n_d.
    - `mean`: the signal weights are multiplied by the exact ratio of N(mean_d +- a, width_d) to N(mean_d, width_d).
      Fakes too, with the truth that they have outside the region. `background`: weights of background times 1 +- a.

    Args:
        dimensions: 1 to 10; the observables are x0, x1, ...
        mean: mean of the truth; one number for all dimensions, or a list with one number for each.
        width: standard deviation of the truth; one number or a list.
        bias: shift of the reco values; one number or a list.
        resolution: standard deviation of the reco values around the shifted truth; one number or a list.
        leak: share of the last dimension's truth that is added to r_0. If only x_0 is unfolded, its response then
            depends on a hidden quantity: a sample with another mean of that quantity has another response.
        efficiency: [e_low, e_high], e at x_0 -> -inf and +inf; [1, 1]: no misses.
        fakes: [f_low, f_high], f at r_0 -> -inf and +inf, below 0.5; [0, 0]: no fakes.
        background: expected share of background in all accepted events.
        background_mean: mean of the reco values of background.
        background_width: standard deviation of the reco values of background.
        negative_weights: expected share of events of negative weight, below 0.5.
        expected: expected number of accepted events, to which the weights are scaled; 0: every |weight| is w.
        systematics: name -> parameter -> size a, such as {"jes": {"bias": 0.1}}. bias and resolution give branches
            `reco_x0__jes__0` and so on; mean and background give branches `weight__<name>__<i>`.
    """

    PROVIDES = ("x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9")
    BOUNDS = (
        (">= 1 and <= 10", "dimensions"),
        ("> 0", "width background_width"),
        (">= 0", "resolution expected"),
        (">= 0 and <= 1", "efficiency"),
        (">= 0 and < 0.5", "fakes"),
        (">= 0 and <= 0.99", "background"),
        (">= 0 and <= 0.49", "negative_weights"),
    )

    def __init__(
        self,
        *,
        dimensions: int = 1,
        mean: float | list[float] = 0.0,
        width: float | list[float] = 1.0,
        bias: float | list[float] = 0.0,
        resolution: float | list[float] = 0.5,
        leak: float = 0.0,
        efficiency: list[float] = [0.75, 0.98],  # noqa: B006 (only read, never changed)
        fakes: list[float] = [0.2, 0.05],  # noqa: B006
        background: float = 0.0,
        background_mean: float = 0.0,
        background_width: float = 2.0,
        negative_weights: float = 0.0,
        expected: float = 0.0,
        systematics: dict[str, dict[str, float]] = {},  # noqa: B006
    ) -> None:
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise ConfigError(f"dimensions: {dimensions} given, 1 to {MAX_DIMENSIONS} expected")
        self.dimensions = dimensions
        self.mean, self.width = self._each("mean", mean), self._each("width", width)
        self.bias, self.resolution = self._each("bias", bias), self._each("resolution", resolution)
        if np.any(self.width <= 0.0) or np.any(self.resolution < 0.0) or background_width <= 0.0:
            raise ConfigError(
                f"width {width}, background_width {background_width} and resolution {resolution} given; the widths "
                "must be above 0, resolution 0 or more"
            )
        for name, pair, top in (("efficiency", efficiency, 1.0), ("fakes", fakes, 0.499)):
            if len(pair) != 2 or min(pair) < 0.0 or max(pair) > top:
                raise ConfigError(f"{name}: {pair} given, two numbers in [0, {top}] expected")
        if max(efficiency) == 0.0:
            raise ConfigError("efficiency: [0, 0] leaves no event to unfold; give a number above 0")
        for name, share, top in (("background", background, 0.99), ("negative_weights", negative_weights, 0.49)):
            if not 0.0 <= share <= top:
                raise ConfigError(f"{name}: {share} given, a number in [0, {top}] expected")
        if leak and dimensions < 2:
            raise ConfigError(f"leak: {leak} given with dimensions {dimensions}; a leak needs at least 2 dimensions")
        self.leak, self.efficiency, self.fakes = leak, tuple(efficiency), tuple(fakes)
        self.background, self.negative_weights, self.expected = background, negative_weights, expected
        self.background_mean, self.background_width = background_mean, background_width
        for name, sizes in systematics.items():
            if not sizes or not set(sizes) <= set(VARIED):
                raise ConfigError(
                    f"systematics.{name}: {sizes} given; a mapping of {', '.join(VARIED)} to sizes is expected"
                )
            if not 0.0 <= sizes.get("resolution", 0.0) < 1.0:
                raise ConfigError(
                    f"systematics.{name}.resolution: {sizes['resolution']} given; a relative change in [0, 1) is "
                    "expected"
                )
        self.systematics = dict(systematics)

    def _each(self, name: str, value: float | list[float]) -> np.ndarray:
        """One number for each dimension, (D,)."""
        array = np.atleast_1d(np.asarray(value, dtype=np.float64))
        if len(array) not in (1, self.dimensions):
            raise ConfigError(
                f"{name}: {len(array)} numbers given for {self.dimensions} dimensions; give one, or one for each "
                "dimension"
            )
        return np.broadcast_to(array, (self.dimensions,))

    @property
    def observables(self) -> tuple[str, ...]:
        """x0, x1, ...: one for each dimension."""
        return self.PROVIDES[: self.dimensions]

    # ---- the known answer

    def efficiency_at(self, x0: np.ndarray) -> np.ndarray:
        """e(x_0), the probability that a fiducial event is reconstructed, (N,): logistic, centre 0, unit width."""
        low, high = self.efficiency
        return low + (high - low) * expit(x0)

    def fake_share_at(self, r0: np.ndarray) -> np.ndarray:
        """f(r_0), the share of fakes in the reconstructed signal, fakes included, (N,): logistic like e(x_0)."""
        low, high = self.fakes
        return low + (high - low) * expit(r0)

    def _average(self, function) -> float:
        """Expectation of function(x_0, r_0) over the fiducial truth and its smearing, by Gauss-Hermite quadrature."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
        weights = weights / weights.sum()
        x = self.mean[0] + self.width[0] * nodes[:, None]
        smearing = np.hypot(self.resolution[0], self.leak * self.width[-1])
        r = x + self.bias[0] + self.leak * self.mean[-1] + smearing * nodes[None, :]
        return float(weights @ np.broadcast_to(function(x, r), r.shape) @ weights)

    @property
    def miss_fraction(self) -> float:
        """Share of fiducial events that are not reconstructed."""
        return 1.0 - self._average(lambda x, r: self.efficiency_at(x))

    def _fakes_per_fiducial(self) -> float:
        """Expected number of fakes for each fiducial event: E[e(x_0) f(r_0) / (1 - f(r_0))]."""
        return self._average(lambda x, r: self.efficiency_at(x) * self._odds(r))

    def _odds(self, r0: np.ndarray) -> np.ndarray:
        share = self.fake_share_at(r0)
        return share / (1.0 - share)

    @property
    def fake_fraction(self) -> float:
        """Share of fakes in the reconstructed signal, fakes included."""
        fakes = self._fakes_per_fiducial()
        return fakes / (fakes + 1.0 - self.miss_fraction)

    @property
    def composition(self) -> np.ndarray:
        """Expected shares of fiducial signal, fakes and background in the accepted events, (3,), with sum 1."""
        fakes = self._fakes_per_fiducial()
        return np.array([(1.0 - self.background) / (1.0 + fakes)] * 2 + [self.background]) * [1.0, fakes, 1.0]

    def fiducial_yield(self, events: float | None = None) -> float:
        """Expected sum of weights of the fiducial truth in a sample of `events` accepted events (None: `expected`).

        If the option `expected` is set, the weights are scaled to it and `events` does not matter.
        """
        total = self.expected if self.expected > 0.0 else events
        if total is None:
            raise ConfigError("fiducial_yield: give the number of events, or set the option `expected`")
        return float(self.composition[SIGNAL] * total)

    def truth_probability(self, edges: np.ndarray, *, dimension: int = 0) -> np.ndarray:
        """Probability of each bin of the fiducial truth, edges (B + 1,) -> (B,); the edges may be infinite."""
        z = (np.asarray(edges, dtype=np.float64) - self.mean[dimension]) / self.width[dimension]
        return np.diff(ndtr(z))

    # ---- events

    def draw(self, events: int, rng: np.random.Generator, *, total: int | None = None) -> dict[str, np.ndarray]:
        """Draw `events` accepted events as columns of the event table.

        For a sample like data, draw `events` from a Poisson distribution.

        Args:
            events: number of events.
            rng: the only source of randomness.
            total: size of the sample that these events are part of, for the weights; None: `events`.

        Returns:
            truth_x*, reco_x* (n,) float32 (-99 where the flag is false), pass_truth, pass_reco, weight, process.
        """
        total = max(events, 1) if total is None else total
        counts = rng.multinomial(events, self.composition)
        kind = rng.permutation(np.repeat([SIGNAL, FAKE, BACKGROUND], counts))
        truth = np.empty((events, self.dimensions))
        reco = np.empty((events, self.dimensions))
        signal, fake, background = (kind == k for k in (SIGNAL, FAKE, BACKGROUND))
        truth[signal], reco[signal] = self._signal(counts[SIGNAL], rng)
        truth[fake], reco[fake] = self._fakes(counts[FAKE], rng)
        shape = (counts[BACKGROUND], self.dimensions)
        reco[background] = self.background_mean + self.background_width * rng.standard_normal(shape)
        pass_reco = ~signal
        pass_reco[signal] = rng.random(counts[SIGNAL]) < self.efficiency_at(truth[signal, 0])
        columns: dict[str, np.ndarray] = {"pass_truth": signal, "pass_reco": pass_reco}
        for prefix, values, passed in (("truth", truth, signal), ("reco", reco, pass_reco)):
            for d, name in enumerate(self.observables):
                columns[f"{prefix}_{name}"] = np.where(passed, values[:, d], ABSENT).astype(np.float32)
        sign = np.where(rng.random(events) < self.negative_weights, -1.0, 1.0)
        scale = self.expected / total if self.expected > 0.0 else 1.0
        columns["weight"] = sign * scale / (1.0 - 2.0 * self.negative_weights)
        columns["process"] = np.where(background, PROCESSES.index("background"), 0).astype(np.int32)
        truth[background] = np.nan
        return columns | self._varied(truth, reco, columns)

    def _varied(self, truth: np.ndarray, reco: np.ndarray, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Branches of the variations, from the values (n, D) before any flag; truth is NaN for background."""
        branches: dict[str, np.ndarray] = {}
        has_truth = np.isfinite(truth)
        noise = np.where(has_truth, reco - self._centre(truth), 0.0)
        for name, size in self.systematics.items():
            for index, sign in enumerate((1.0, -1.0)):
                bias, resolution, mean, background = (sign * size.get(parameter, 0.0) for parameter in VARIED)
                if {"bias", "resolution"} & set(size):
                    shifted = reco + bias + resolution * noise
                    for d, observable in enumerate(self.observables):
                        values = np.where(columns["pass_reco"], shifted[:, d], ABSENT).astype(np.float32)
                        branches[f"reco_{observable}__{name}__{index}"] = values
                if {"mean", "background"} & set(size):
                    z, step = (truth - self.mean) / self.width, mean / self.width
                    ratio = np.exp(np.where(has_truth, z * step - 0.5 * step**2, 0.0).sum(axis=1))
                    ratio = np.where(has_truth[:, 0], ratio, 1.0 + background)
                    branches[f"weight__{name}__{index}"] = columns["weight"] * ratio
        return branches

    def _centre(self, x: np.ndarray) -> np.ndarray:
        """Mean of reco for given truth, (n, D)."""
        centre = x + self.bias
        centre[:, 0] += self.leak * x[:, -1]
        return centre

    def _signal(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Truth and reco of fiducial events, (n, D) each."""
        x = self.mean + self.width * rng.standard_normal((count, self.dimensions))
        return x, self._centre(x) + self.resolution * rng.standard_normal(x.shape)

    def _fakes(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Truth and reco of fakes, (n, D): reconstructed events, kept with probability odds(r_0) / (largest odds)."""
        largest = max(share / (1.0 - share) for share in self.fakes)
        pieces = [np.empty((2, 0, self.dimensions))]
        found = 0
        while found < count:
            x, r = self._signal(max(64, 2 * (count - found)), rng)
            kept = rng.random(len(r)) * largest < self.efficiency_at(x[:, 0]) * self._odds(r[:, 0])
            pieces.append(np.stack([x[kept], r[kept]]))
            found += int(kept.sum())
        truth, reco = np.concatenate(pieces, axis=1)[:, :count]
        return truth, reco

    def block(self, events: int, *, total: int, seed: int) -> dict[str, Any]:
        """`draw` with the random numbers of `seed`."""
        return self.draw(events, np.random.default_rng(seed), total=total)
