"""Artefacts as stages write them, with made-up numbers, for figures."""

from __future__ import annotations

import itertools

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from truthward.report import summary as page
from truthward.study.observable import Observable
from truthward.validate import metrics

OBSERVABLES = [
    Observable(name="m", label="jet mass $m$", unit="GeV", range=(0.0, 75.0)),
    Observable(name="M", label="multiplicity $M$", range=(0.0, 80.0), bins=80, integer=True),
    Observable(name="w", label="jet width $w$", range=(0.0, 0.6)),
    Observable(name="ln_rho", label=r"groomed mass $\ln\rho$", range=(-14.0, 0.0)),
    Observable(name="tau21", label=r"$N$-subjettiness ratio $\tau_{21}$", range=(0.0, 1.2)),
    Observable(name="zg", label="groomed momentum fraction $z_g$", range=(0.0, 0.5)),
]


SHAPES = {
    "m": (4.0, 5.5),
    "M": (12.0, 2.3),
    "w": (1.6, 0.035),
    "ln_rho": (6.0, 1.2),
    "tau21": (14.0, 0.052),
    "zg": (3.0, 0.07),
}


METHODS = ("omnifold", "generative", "ibu")


def draw(name: str, seed: int, n: int = 20_000, scale: float = 1.0) -> np.ndarray:
    """Events that look like the observable; `scale` stretches them."""
    shape, width = SHAPES[name]
    x = np.random.default_rng([seed, *map(ord, name)]).gamma(shape, width * scale, n)
    return -x if name == "ln_rho" else x


def histogram(o: Observable, seed: int, scale: float = 1.0, edges: np.ndarray | None = None, n: int = 20_000) -> dict:
    counts = np.histogram(draw(o.name, seed, n, scale), o.edges if edges is None else edges)[0] * 20_000 / n
    return {"sum": counts.tolist(), "error": np.sqrt(counts).tolist()}


def ingest() -> dict:
    entries = {}
    for o in OBSERVABLES:
        truth = draw(o.name, 1)
        reco = truth * np.random.default_rng(2).normal(0.97, 0.1, truth.size)
        matrix = np.histogram2d(truth, reco, [o.edges, o.edges])[0]
        diagonal = np.diag(matrix)
        with np.errstate(all="ignore"):
            purity, stability = diagonal / matrix.sum(axis=0), diagonal / matrix.sum(axis=1)
        entries[o.name] = {
            "edges": o.edges,
            "response": matrix.tolist(),
            "truth": histogram(o, 1),
            "reco": histogram(o, 3),
            "background": {"sum": [0.0] * o.bins, "error": [0.0] * o.bins},
            "purity": [float(p) if np.isfinite(p) else None for p in purity],
            "stability": [float(p) if np.isfinite(p) else None for p in stability],
            "efficiency": (0.95 - 0.1 * np.linspace(0, 1, o.bins) ** 2).tolist(),
            "fake_rate": [0.04] * o.bins,
            "data": histogram(o, 4, 0.94),
        }
    return {"observables": entries}


def calibrated() -> dict:
    def rows(edges: list[float], seed: int) -> list[dict]:
        random, n = np.random.default_rng(seed), len(edges) - 1
        before = 0.93 + 0.04 * np.linspace(0, 1, n) + random.normal(0, 0.002, n)
        after = 1 + random.normal(0, 0.003, n)
        part = [{"mean": m, "mean_error": 0.003} for m in (*before, *after)]
        ends = itertools.pairwise(edges)
        return [{"low": a, "high": b, "before": part[k], "after": part[n + k]} for k, (a, b) in enumerate(ends)]

    edges, pt, eta = np.linspace(-5, 5, 51), [200, 220, 245, 275, 310, 360, 430], [-2.5, -1.5, -0.8, 0, 0.8, 1.5, 2.5]
    counts = np.histogram(np.random.default_rng(1).normal(0, 1.03, 4000), edges)[0]
    measured = {"mean": 0.01, "width": 1.03, "central68": 1.01} | dict.fromkeys(
        ("mean_error", "width_error", "central68_error"), 0.014
    )
    bins = {"reco_jet_pt": pt, "truth_jet_pt": pt, "reco_jet_eta": eta, "truth_jet_eta": eta}
    return {
        "target": "jet_pt",
        "closure": {name: rows(e, k) for k, (name, e) in enumerate(bins.items())},
        "pull": {"edges": edges.tolist(), "counts": counts.tolist(), "fraction_outside": 0.002, **measured},
    }


def two_sample() -> dict:
    random = np.random.default_rng(3)
    p = metrics.ratio_histogram(random.normal(0.03, 0.25, 20_000))
    q = metrics.ratio_histogram(np.append(random.normal(-0.03, 0.28, 20_000), [10.0, -11.0]))
    scores = {"auc": {"mean": 0.5231, "sd": 0.0012}, "jsd": {"mean": 0.0042, "sd": None}}
    # What lies beyond the fine bins decides for the coarse ones.
    near = {"near_one": {"below": 0.02, "above": 0.02}}
    return scores | {"weights": {"p": {"histogram": p} | near, "q": {"histogram": q} | near}}


def surrogate() -> dict:
    def level(seed: int, scale: float) -> dict:
        entries = {}
        for o in OBSERVABLES:
            samples = {"simulation": histogram(o, seed), "surrogate": histogram(o, seed + 1, scale, n=200_000)}
            entries[o.name] = {"histogram": {"edges": o.edges, **samples}}
        return entries

    return {
        "used": {"surrogate": {"events": 20_000, "used": 20_000}},
        "levels": {"truth": level(1, 1.01), "reco": level(5, 1.0)},
        "two_sample": {"both": {"surrogate": two_sample()}},
    }


def amplified() -> dict:
    def points(worth) -> list[dict]:
        found = [(k, worth(k)) for k in (1.0, 3.0, 10.0, 30.0)]
        return [{"multiple": k, "G": {"value": g, "low": 0.8 * g, "high": 1.3 * g}} for k, g in found]

    study = {
        "model": {"kind": "flow_matching"},
        "training_events": 2000,
        "target": {"name": "modulated ring"},
        "curve": points(lambda k: 4.2 * (1 - np.exp(-k / 5))),
        "bootstrap_control": points(lambda k: k / (1 + k)),
        "truth_control": points(lambda k: k),
    }
    return {"study": study, "sample": {"events": 120_000, "n_train": 12_000, "G": 3.0, "G_low": 1.9}}


def validated(method: str = "omnifold", bias: float = 0.945, truth: bool = True) -> dict:
    """validate/<method>.json, as far as figures read it."""
    random = np.random.default_rng([*map(ord, method)])
    entries = {}
    for o in OBSERVABLES:
        edges = np.linspace(*o.range, 26 if o.name != "M" else 41)
        found = histogram(o, len(method), bias, edges, n=100_000)
        samples = {"data": histogram(o, 22, 0.90, edges, n=21_000), "prior": histogram(o, 20, 1.0, edges)}
        triangular = None
        if truth:
            samples["truth"] = histogram(o, 21, 0.94, edges)
            triangular = {"floor": {"mean": 1.25, "sd": 0.25}}
            for key, level in (("unfolded", 1.5), ("prior", 18.0), ("data", 30.0)):
                values = (level * random.uniform(0.7, 1.4, 5)).tolist()
                replicas = {"data_bootstrap": {"values": [None]}, "initialisation": {"values": values}}
                triangular[key] = {"value": level * random.uniform(0.8, 1.3), "replicas": replicas}
        unfolded = {"sum": found["sum"], "error": (1.3 * np.array(found["error"])).tolist()}
        coarse = {"edges": edges.tolist(), "unfolded": unfolded, **samples}
        entries[o.name] = {"triangular": triangular, "histogram": {"coarse": coarse}}
    used = {"truth": {"events": 10**7, "used": 500_000}, "data": {"events": 40_000, "used": 40_000}}
    test = {"unfolded": two_sample() if truth else None}
    said = "statistical and initialisation uncertainty only"
    return {"method": method, "observables": entries, "two_sample": test, "used": used, "uncertainty": said}


def table(truth: bool = True) -> dict:
    """validate/methods.json."""
    random = np.random.default_rng(4)
    levels = dict.fromkeys(METHODS, 2.0) | {
        "data before unfolding": 30.0,
        "simulation before unfolding": 15.0,
        "floor": 1.2,
    }
    rows = []
    for name, level in levels.items():
        triangular = {
            o.name: {"value": level * random.uniform(0.7, 1.4), "spread": 0.15 * level} if truth else None
            for o in OBSERVABLES
        }
        row = {
            "name": name,
            "triangular": triangular,
            "auc": None,
            "yield_ratio": None,
            "chi2_p": None,
            "refold_p": None,
        }
        if name in METHODS:
            row["refold_p"] = 0.34
            row |= (
                {"auc": {"value": 0.503, "spread": 0.002}, "yield_ratio": {"value": 0.998, "spread": 0.009}}
                if truth
                else {}
            )
        rows.append(row)
    reasons = {
        "omnifold": ["no model uncertainty: $x$ is {"],
        "generative": [f"reason {i} " + 50 * "x" for i in range(9)],
    }
    levels = {"omnifold": "warnings", "generative": "failed", "ibu": "good"}
    verdicts = {m: {"verdict": levels[m], "reasons": reasons.get(m, []), "without_truth": not truth} for m in METHODS}
    return {"rows": rows, "verdicts": verdicts, "binned": {"ibu": {"bins": {"m": 9}}}}


def summary_page(truth: bool = True, **changes) -> Figure:
    results_of = {m: validated(m, bias, truth) for m, bias in zip(METHODS, (0.945, 0.95, 0.93), strict=True)}
    given = {"validated": results_of, "table": table(truth), "observables": OBSERVABLES} | changes
    return page.summary_page("zjets", **given)


def covariances(*bins: int) -> dict:
    """Of all observables, in this number of bins each."""
    random, size = np.random.default_rng(1), sum(bins)
    factors = random.normal(size=(size, 3)) + 0.4
    matrix = factors @ factors.T + np.diag(random.uniform(1, 3, size))
    return {
        "method": "omnifold",
        "covariance": matrix.tolist(),
        "said": "total uncertainty",
        "edges": {o.name: np.linspace(*o.range, bins + 1) for o, bins in zip(OBSERVABLES, bins, strict=True)},
    }


def progressed(iterations: int = 5, truth: bool = True, names: tuple[str, ...] = ("m", "M", "w", "tau21")) -> dict:
    """A bias that halves, and a variance that grows, iteration by iteration."""
    steps = np.arange(iterations + 1)
    sigma = {"data_bootstrap": 0.010 * np.sqrt(steps), "initialisation": 0.004 * np.sqrt(steps)}
    sigma["total"] = np.hypot(*sigma.values())
    entry = {
        "distance": (0.4 * 0.5**steps).tolist() if truth else None,
        "counting": 0.008 if truth else None,
        "sigma": {n: s.tolist() for n, s in sigma.items()},
    }
    found = {"iterations": steps.tolist(), "chosen": iterations, "names": list(names)}
    return {
        "method": "generative",
        "uncertainty": "statistical uncertainty only",
        "families": {"data_bootstrap": 30, "initialisation": 5},
        "progress": found | dict.fromkeys(("all", *names), entry),
    }


def texts(figure: Figure) -> list[str]:
    return [t.get_text() for t in figure.findobj(matplotlib.text.Text) if t.get_text()]
