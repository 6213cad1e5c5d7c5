"""validate/stress/<method>.json and validate/stress/stress.json."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from truthward.records.shared import Provenance
from truthward.records.validate.figures import Chi2, Floor


class Significance(TypedDict):
    """Smallest p-value of several tests times their number, and as a two-sided Gaussian significance. None: no test."""

    p: float | None
    sigma: float | None


class BeforeAndAfter(TypedDict):
    """Triangular discriminator before and after unfolding."""

    before: float | None
    after: float | None


class WithFloor(BeforeAndAfter):
    """floor: of the discriminator before."""

    floor: Floor | None


class TruthBins(TypedDict):
    """edges: (B + 1,). truth, unfolded, sigma: events, (B,). pulls: (B,). largest: |pull|."""

    edges: list[float]
    truth: list[float]
    unfolded: list[float]
    sigma: list[float]
    pulls: list[float]
    largest: float


class Comparison(TypedDict):
    """One observable. chi2: against the truth. refold: against the data."""

    truth: TruthBins
    chi2: Chi2
    triangular: WithFloor
    refold: Chi2


class StressVerdict(TypedDict):
    """See `validate.stress.verdict.judge`. inside: share of bins within one sigma. relative_sigma: median over bins.
    growth: of it, of starvation alone."""

    truth: Significance
    refold: Significance
    largest_pull: float
    inside: float
    relative_sigma: float
    growth: float | None
    triangular: BeforeAndAfter
    passes: bool | None
    refold_passes: bool | None
    missed: bool
    words: str


class StressedScenario(TypedDict):
    """note: what was changed. skipped: why there is no verdict. observables: name -> comparison."""

    name: str
    question: str
    note: str
    skipped: str | None
    verdict: StressVerdict | None
    observables: dict[str, Comparison]


class Stressed(TypedDict):
    """validate/stress/<method>.json."""

    method: str
    kind: str
    scenarios: list[StressedScenario]
    provenance: Provenance


class StressRow(TypedDict):
    """One scenario and method. verdict, refolding: None without a test. truth_sigma, refold_sigma: significances."""

    scenario: str
    note: str
    method: str
    verdict: Literal["pass", "fail"] | None
    refolding: Literal["pass", "fail"] | None
    missed: bool
    words: str
    truth_sigma: float | None
    refold_sigma: float | None
    largest_pull: float | None
    inside: float | None
    growth: float | None
    triangular_before: float | None
    triangular_after: float | None


class StressTable(TypedDict):
    """validate/stress/stress.json. conclusions: in words."""

    rows: list[StressRow]
    conclusions: list[str]
    provenance: Provenance
