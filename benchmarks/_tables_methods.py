"""The README's one table: the methods, and one measured number each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Rows = list[dict[str, Any]]

OBSERVABLE = "m"
METHODS = (
    (
        "iterative Bayesian unfolding",
        "`ibu`",
        "D'Agostini, NIM A 362 (1995) 487",
        "one observable in bins",
        ("landscape", "IBU"),
    ),
    (
        "OmniFold, all observables (MultiFold)",
        "`omnifold`",
        "1911.09107",
        "observables at both levels",
        ("landscape", "MultiFold"),
    ),
    (
        "OmniFold, one observable (UniFold)",
        "`omnifold`, `observables: [m]`",
        "1911.09107",
        "one observable",
        ("quality", "UniFold"),
    ),
    (
        "OmniFold on constituents",
        "`omnifold`, `inputs: constituents`",
        "1911.09107",
        "particles of the jet",
        ("hard", "OmniFold, deep sets"),
    ),
    (
        "fit in learned features",
        "`feature_fit`",
        "2602.24282",
        "observables at both levels",
        ("quality", "feature fit"),
    ),
    (
        "generative, coupling flow (cINN)",
        "`generative`, `coupling_flow`",
        "2006.06685",
        "observables at both levels",
        ("landscape", "coupling flow"),
    ),
    (
        "generative, autoregressive",
        "`generative`, `autoregressive`",
        "2305.10475",
        "observables at both levels",
        ("landscape", "autoregressive"),
    ),
    (
        "generative, flow matching",
        "`generative`, `flow_matching`",
        "2210.02747",
        "observables at both levels",
        ("landscape", "flow matching"),
    ),
    (
        "generative, transformer",
        "`generative`, `transformer_flow_matching`",
        "2411.02495",
        "observables or particles",
        ("landscape", "transformer"),
    ),
    (
        "generative, diffusion",
        "`generative`, `diffusion`",
        "2206.00364",
        "observables at both levels",
        ("landscape", "diffusion"),
    ),
    (
        "generative, bridge",
        "`generative`, `bridge`",
        "2308.12351",
        "observables at both levels",
        ("landscape", "bridge"),
    ),
)
"""Method, its entry in a config, its paper, what it needs, and where its number stands."""


def methods(landscape: Mapping[str, Any], quality: Mapping[str, Any]) -> tuple[str, Rows]:
    """One row a method.

    Args:
        landscape, quality: figures of the benchmarks `landscape` and `omnifold_quality`.

    Returns:
        What the last column holds, and the rows.
    """
    found, cases = landscape["methods"], quality["cases"]
    ibu = cases["hard, half"]["methods"]["IBU"]["mean"][OBSERVABLE]

    def number(source: str, name: str) -> str:
        if source == "hard":
            f = cases["hard, half"]["methods"][name]
            return f"{f['mean'][OBSERVABLE]:.2f} ± {f['spread'][OBSERVABLE]:.2f} (`hard`; IBU there: {ibu:.1f})"
        if source == "quality":
            f = cases["zjets"]["methods"][name]
            return f"{f['mean'][OBSERVABLE]:.2f} ± {f['spread'][OBSERVABLE]:.2f}"
        f = found[name].get("prior removed") or found[name][""]
        return f"{f['value'][OBSERVABLE]:.2f} ± {f['spread'][OBSERVABLE]:.2f}"

    rows = [
        {"method": name, "in the config": entry, "paper": paper, "needs": needs, "distance": number(*place)}
        for name, entry, paper, needs, place in METHODS
    ]
    before = landscape["before"][OBSERVABLE]
    text = (
        "Distance: the triangular discriminator, x 10^3, of the unfolded jet mass from its truth. Smaller is better. "
        "200,000 events of Z+jets are unfolded; the figure above is of 20,000. "
        "`hard`: half of the events of `hard.yaml` instead, whose detector resolves little. Values are mean ± spread "
        "over seeds; IBU's is over bootstraps of the data. `consistency` draws for one of these models in one step. "
        f"Before unfolding, the simulation has {before['simulation']:.1f}. Two samples of the truth have "
        f"{before['floor']:.2f} between them."
    )
    return text, rows
