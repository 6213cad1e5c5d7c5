"""Write the tables of the docs and of the README from benchmarks/results/*.json, so that no figure is typed by hand."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "src"))

from _tables_compare import compare  # noqa: E402
from _tables_generative import (  # noqa: E402
    density_uncertainty,
    generative_spread,
    landscape,
    one_step,
    prior_removal,
    sampling_speed,
    top_mass,
)
from _tables_metamorphic import metamorphic  # noqa: E402
from _tables_methods import methods  # noqa: E402
from _tables_model import model_uncertainty  # noqa: E402
from _tables_omnifold import (  # noqa: E402
    boosters,
    classifiers,
    earlier,
    omnifold_quality,
    omnifold_speed,
    replica_spread,
    training_profile,
    tree_spread,
)
from _tables_run import explore, faults, fuzz, mutants, overhead, scale, simulation_rate  # noqa: E402

from truthward.run.artefact import read_json, write_text  # noqa: E402

RESULTS = HERE / "results"
START, END = "<!-- methods -->", "<!-- /methods -->"
HEAD = """# Benchmarks

`make bench NAME=<name>` runs `benchmarks/<name>.py`, with `QUICK=1` within a minute. The last full run of each is kept
in `benchmarks/results/` as JSON. `make tables` writes this page and the table of methods from these files.
"""
Rows = list[dict[str, Any]]


def coverage(figures: dict[str, Any]) -> tuple[str, Rows]:
    """How often 68% and 95% intervals hold the truth, averaged over bins, and how long they are."""
    rows = [
        {
            "truth": truth,
            "method": name,
            "toys": f["toys"],
            **{
                f"{level}% intervals cover (bins)": f"{f[level]['covered']:.1%} ± {f[level]['covered_error']:.1%} "
                f"({min(f[level]['covered_by_bin']):.0%} to {max(f[level]['covered_by_bin']):.0%})"
                for level in ("68", "95")
            },
            "longest interval / IBU's": f"{f['longest_over_ibu']:.2f}",
        }
        for block, truth in (("shifted", "shifted"), ("prior", "the simulation's"))
        for name, f in figures["blocks"][block].items()
    ]
    shift = f"{figures['mean_shift']} sigma in mean and {figures['width_ratio'] - 1:.0%} in width"
    caption = f"Gaussian toys of {figures['events']} events, truth off the simulation by {shift}, or equal to it"
    return f"{caption}; iterations are ended by rule in each.{earlier(figures['blocks'])}", rows


def gaussian_closure(figures: dict[str, Any]) -> tuple[str, Rows]:
    """Pulls of yield, mean and width against their analytic values."""
    rows = [
        {
            "quantity": name,
            "mean pull": f"{mean:+.2f}",
            "width of pulls": f"{figures['pull_width'][name]:.2f}",
            "prior off by at least": f"{figures['smallest_prior_pull'][name]:.0f} sigma",
        }
        for name, mean in figures["pull_mean"].items()
    ]
    largest = figures["largest_yield_error"]
    caption = f"{figures['seeds']} Gaussian toys of {figures['events']} data events with misses and fakes, unfolded"
    caption += f" with OmniFold; the yield is never off by more than {largest:.2%}"
    caption += f" (commit {figures['commit'][:10]})." if "commit" in figures else "."
    rows = [{"sample": "OmniFold alone"} | row for row in rows]
    if found := figures.get("beside"):
        rows += [
            {
                "sample": f"with background, {method}",
                "quantity": name,
                "mean pull": f"{mean:+.2f}",
                "width of pulls": f"{f['pull_width'][name]:.2f}",
                "prior off by at least": "",
            }
            for method, f in found["methods"].items()
            for name, mean in f["pull_mean"].items()
        ]
        off = ", ".join(
            f"{m} {f['yield_off']:+.2%} (one toy: ± {f['yield_sigma']:.2%})" for m, f in found["methods"].items()
        )
        apart = ", ".join(f"{t} {d['mean']:+.2%} (at most {d['largest']:.2%})" for t, d in found["apart"].items())
        caption += (
            f" With {found['background']:.0%} background, {found['seeds']} toys of {found['events']} data events, both "
            f"methods on the same: mean error of the yield: {off}; generative less OmniFold by treatment of the "
            f"background: {apart}; noise of sampling: {found['sampling_share']:.1%} of the variance of counting."
        )
    return caption, rows


def stress(figures: dict[str, Any]) -> tuple[str, Rows]:
    """How often each method passes each scenario, and how often a test at reco level alone would have passed it."""
    rows = [
        {
            "scenario": scenario.replace("_", " "),
            "method": method,
            "truth passes": f"{f['passes']} of {f['toys']}",
            "refolding alone passes": f"{f['refolding_passes']} of {f['toys']}",
            "truth off by (median)": f"{f['sigma']:.1f} sigma",
            "bins within 1 sigma": f"{f['inside']:.0%}",
            "triangular before → after": f"{f['triangular'][0]:.1f} → {f['triangular'][1]:.1f}",
        }
        for scenario, methods in figures["scenarios"].items()
        for method, f in methods.items()
    ]
    missed = sum(f["missed"] for f in figures["scenarios"]["response_mismatch"].values())
    toys = sum(f["toys"] for f in figures["scenarios"]["response_mismatch"].values())
    caption = (
        f"Gaussian toys of {figures['events']} simulated events against analytic truth; hidden variable and response "
        f"mismatch are built to fail. In {missed} of {toys} mismatched results the truth is wrong by more than 3 sigma "
        "and refolding accepts it: reco-level agreement cannot certify the particle level."
    )
    return caption + earlier(figures["scenarios"]), rows


TABLES = {
    "boosters": boosters,
    "classifiers": classifiers,
    "compare": compare,
    "coverage": coverage,
    "density_uncertainty": density_uncertainty,
    "explore": explore,
    "faults": faults,
    "fuzz": fuzz,
    "gaussian_closure": gaussian_closure,
    "generative_spread": generative_spread,
    "landscape": landscape,
    "mutants": mutants,
    "metamorphic": metamorphic,
    "model_uncertainty": model_uncertainty,
    "omnifold_quality": omnifold_quality,
    "omnifold_speed": omnifold_speed,
    "one_step": one_step,
    "overhead": overhead,
    "prior_removal": prior_removal,
    "replica_spread": replica_spread,
    "sampling_speed": sampling_speed,
    "scale": scale,
    "simulation_rate": simulation_rate,
    "stress": stress,
    "top_mass": top_mass,
    "training_profile": training_profile,
    "tree_spread": tree_spread,
}


def table(rows: Rows) -> str:
    """Rows as Markdown."""
    titles = list(rows[0])
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    return "\n".join(lines + ["| " + " | ".join(str(row[title]) for title in titles) + " |" for row in rows])


def markdown(content: dict[str, Any]) -> str:
    """One benchmark: what it measures, its table, and where the numbers come from."""
    caption, rows = TABLES[content["name"]](content["figures"])
    machine, commit = content["machine"], (content["git"]["commit"] or "unknown")[:10]
    source = f"{machine['cores']} cores of {machine['processor']}; {content['date']}, commit {commit}"
    command = f"`make bench NAME={content['name']}`"
    return f"## {content['name']}\n\n{caption}\n\n{table(rows)}\n\n{command}, {source}.\n"


def page() -> str:
    """The page of all benchmarks."""
    return "\n".join([HEAD, *(markdown(read_json(path)) for path in sorted(RESULTS.glob("*.json")))])


def methods_table() -> str:
    """The table of methods, with one measured number each."""
    figures = [read_json(RESULTS / f"{name}.json")["figures"] for name in ("landscape", "omnifold_quality")]
    caption, rows = methods(*figures)
    return f"{table(rows)}\n\n{caption}"


def main() -> None:
    """Write the page of the docs, and what stands between the markers of the README."""
    write_text(HERE.parent / "docs" / "benchmarks.md", page())
    readme = HERE.parent / "README.md"
    marked = re.compile(re.escape(START) + ".*?" + re.escape(END), re.DOTALL)
    text = marked.sub(lambda _: f"{START}\n\n{methods_table()}\n\n{END}", readme.read_text(encoding="utf-8"))
    write_text(readme, text)


if __name__ == "__main__":
    main()
