"""Write the tables of the docs and of the README from benchmarks/results/*.json, so that no figure is typed by hand."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "src"))

from _tables_generative import (  # noqa: E402
    density_uncertainty,
    landscape,
    prior_removal,
    sampling_speed,
    top_mass,
)
from _tables_metamorphic import metamorphic  # noqa: E402
from _tables_methods import methods  # noqa: E402
from _tables_model import model_uncertainty  # noqa: E402

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
    return f"{caption}; iterations are ended by rule in each.", rows


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
    return caption, rows


def omnifold_speed(figures: dict[str, Any]) -> tuple[str, Rows]:
    """OmniFold against the peer, its replicas against itself, and training against bare matrix products."""
    rows: Rows = []

    def row(what: str, ours: str, other: str, ratio: str) -> None:
        rows.append({"what": what, "truthward": ours, "compared with": other, "ratio": ratio})

    for name, case in figures["cases"].items():
        work, quality = case["same_work"], case["time_to_quality"]
        if "omnifold" not in work:
            continue
        own, peer = work["truthward"], work["omnifold"]
        values = ["; ".join(f"{q:.2f}" for q in w["quality"]) for w in (own, peer)]
        ratio = f"{work['cpu_ratio']:.1f}"
        row(f"{name}, same work: CPU time", f"{own['cpu']:.0f} s", f"peer {peer['cpu']:.0f} s", ratio)
        row(f"{name}, same work: triangular discriminator, by seed", values[0], f"peer {values[1]}", "")
        if quality["reached"]:
            reached = f"{quality['reached']['wall']:.1f} s"
            ratio = f"{quality['peer_over_reached']:.0f}"
            row(f"{name}: wall time to the peer's quality", reached, f"peer {peer['wall']:.0f} s", ratio)
        final = f"{quality['quality']:.3f} in {quality['wall']:.0f} s"
        row(f"{name}: recommended recipe", final, f"floor {quality['floor']:.3f}", "")
    replicas = figures["replicas"]
    count = sum(replicas["replicas"].values())
    row(f"{count} replicas", f"{replicas['all']:.0f} s", f"one {replicas['one']:.0f} s", f"{replicas['over_one']:.1f}")
    if "peer_over_all" in replicas:
        ratio = f"{replicas['peer_over_all']:.0f}"
        row(f"{count} replicas", f"{replicas['all']:.0f} s", f"{count} runs of the peer", ratio)
    for t in figures["training"]:
        what = f"training of {t['shape']}, {t['precision']}, {t['threads']} thread" + ("s" if t["threads"] > 1 else "")
        bare = f"bare products {t['bare_gflops']:.0f} GFLOP/s"
        row(what, f"{t['training_gflops']:.0f} GFLOP/s", bare, f"{t['share']:.0%}")
    for s in figures["scaling"]:
        row(f"{s['events']:,} events", f"{s['cpu']:.0f} s, {s['peak_mb']:.0f} MB", f"table {s['table_mb']:.0f} MB", "")
    events = next(iter(figures["cases"].values()))["events"]
    return f"OmniFold on {events:,} + {events:,} events, against the package `omnifold` 0.1.36 on one thread.", rows


def omnifold_quality(figures: dict[str, Any]) -> tuple[str, Rows]:
    """Triangular discriminators of all methods, beside what was there before and the floor."""
    rows: Rows = []
    names = ("m", "M", "w", "ln_rho", "tau21", "zg")
    for case, found in sorted(figures["cases"].items(), reverse=True):
        for method, f in found["methods"].items():
            cells = {n: f"{f['mean'][n]:.2f} ± {f['spread'][n]:.2f} ({f['excess'][n]:+.2f})" for n in names}
            more = {"seeds": f["seeds"], "CPU": f"{f['seconds']:.0f} s"}
            rows.append({"sample": case, "method": method, **cells, **more})
        for what, name in (("simulation", "simulation before"), ("data", "data before"), ("floor", "floor")):
            cells = {n: f"{found['before'][n][what]:.2f}" for n in names}
            rows.append({"sample": case, "method": name, **cells, "seeds": "", "CPU": ""})
    text = "Triangular discriminator x 10^3 of Z+jets against the truth: mean ± spread over seeds, in brackets the"
    return (
        f"{text} excess over the floor at the row's own effective size; for IBU the spread is that of the data.",
        rows,
    )


def replica_spread(figures: dict[str, Any]) -> tuple[str, Rows]:
    """Bootstraps that respond against bootstraps that are trained."""
    rows = [
        {
            "sample": sample,
            "family": family,
            "variance, response / training": f"{f['variance_ratio']:.2f} " + "[{:.2f}, {:.2f}]".format(*f["interval"]),
            "by data set": " ".join(f"{v:.2f}" for v in f["by_set"]),
            "bins": sum(f["bins"]),
            "paired correlation": f"{f['paired_correlation']:.2f}",
            "distance of correlations": f"{f['correlation_distance']:.2f}",
            "of two sets of trainings": f"{f['correlation_distance_of_trainings']:.2f}",
        }
        for sample, families in figures["spread"].items()
        for family, f in families.items()
    ]
    cost = figures["cost"]
    text = f"Bootstraps as responses of the nominal's networks against trainings; {cost['replicas']} of them take"
    return f"{text} {cost['over_nominal']:.1f} times a nominal unfolding of {cost['events']:,} events.", rows


def faults(figures: dict[str, Any]) -> tuple[str, Rows]:
    """What was done to a study, what it said, what it lost, and how long the call after that took."""
    rows = [
        {
            "fault": row["fault"],
            "injected": row["injected"],
            "on": row["where"],
            "seen": row["seen"],
            "lost": row["lost"],
            "recovered in": f"{row['seconds']:.0f} s",
        }
        for row in figures["rows"]
    ]
    caption = f"A study of one short training, {figures['undisturbed_seconds']:.0f} s where nothing happens to it; lost"
    return f"{caption} are columns of the unfolded sample that differ in any bit from the undisturbed one.", rows


def fuzz(figures: dict[str, Any]) -> tuple[str, Rows]:
    """What became of damaged files, reader by reader."""
    rows = [
        {
            "reader": name,
            "cases": f["cases"],
            "typed errors": f["typed error"],
            "right results": f["right result"],
            "altered (reader alone)": f["altered"],
            "altered (behind the checksum)": f["altered behind"] if f["checksum"] else "–",
            "other": f["other"] or "none",
        }
        for name, f in figures["readers"].items()
    ]
    caption = (
        f"{figures['cases']:,} files with a flipped bit or byte, a block zeroed, repeated or exchanged, cut short, "
        "added to or emptied. Altered: another result without an error, which ROOT files and plain text cannot exclude "
        "by themselves; for those a checksum stands before the reader (–: none, or the reader has its own). Other: any "
        "other exception, a crash, a hang, memory without bound."
    )
    return caption, rows


def scale(figures: dict[str, Any]) -> tuple[str, Rows]:
    """Time and memory of each stage on more and more events."""
    sizes = sorted(figures["sizes"], key=int)
    rows: Rows = []
    for stage in figures["sizes"][sizes[0]]:
        found = [figures["sizes"][size][stage] for size in sizes]
        row: dict[str, Any] = {"stage": stage}
        for size, f in zip(sizes, found, strict=True):
            cpu = f["cpu"] / int(size) * 1e6
            row[f"{int(size):.0e}".replace("e+0", "e") + " events"] = (
                f"{f['seconds']:.0f} s, {cpu:.1f} µs/event, {f['peak_mb']:.0f} MB"
            )
        last, before = found[-1], found[-2]
        row["time, largest / one before"] = f"{last['cpu'] / before['cpu']:.1f}"
        row["memory"] = f"{last['peak_mb'] / before['peak_mb']:.2f}"
        rows.append(row)
    text = (
        "Each stage in a process of its own on one thread: wall time, CPU time an event, peak memory. As many events "
        f"of simulation as of data; OmniFold of {figures['iterations']} iterations of one epoch, streamed through a "
        f"buffer of {figures['buffer']:,} rows; validation with as many events of each sample for its classifiers."
    )
    return text, rows


def overhead(figures: dict[str, Any]) -> tuple[str, Rows]:
    """What the workflow costs beside the work."""
    no_op, plan, slurm = figures["no_op"], figures["plan"], figures["slurm"]
    costs = [
        (f"a call that finds all {no_op['jobs']} jobs done", no_op["seconds"]),
        (f"plan of {plan['jobs']:,} jobs, none done", plan["seconds"]),
        ("a job on a laptop", figures["local"]["seconds_per_job"]),
        *((f"a job on SLURM, {name}", f["seconds_per_job"]) for name, f in slurm.items() if name != "absent"),
    ]
    text = "What Snakemake, Python's start and SLURM cost, in seconds of wall time; jobs of the measurement do next to"
    where = f"; no SLURM here: {slurm['absent']}" if "absent" in slurm else ""
    return f"{text} nothing{where}.", [{"what": what, "seconds": f"{value:.1f}"} for what, value in costs]


def mutants(figures: dict[str, Any]) -> tuple[str, Rows]:
    """How many planted mistakes the tests notice, stage by stage."""
    missed = {stage: f["planted"] - f["killed"] for stage, f in figures["stages"].items()}
    rows: Rows = [
        {"stage": stage, "planted": f["planted"], "noticed": f["killed"], "not noticed": missed[stage]}
        for stage, f in figures["stages"].items()
    ]
    listed = "; ".join(
        f"`{s['file'].removeprefix('src/truthward/')}`: {s['reason'] or 'no test notices it yet'}"
        for s in figures["survivors"]
    )
    caption = (
        f"{figures['planted']} plausible mistakes in the package, one at a time (a factor, a sign, a mask), each "
        f"with the tests that should fail: {figures['killed']} are noticed ({figures['score']:.0%}). Not: {listed}."
    )
    return caption, rows


TABLES = {
    "coverage": coverage,
    "density_uncertainty": density_uncertainty,
    "faults": faults,
    "fuzz": fuzz,
    "gaussian_closure": gaussian_closure,
    "landscape": landscape,
    "mutants": mutants,
    "metamorphic": metamorphic,
    "model_uncertainty": model_uncertainty,
    "omnifold_quality": omnifold_quality,
    "omnifold_speed": omnifold_speed,
    "overhead": overhead,
    "prior_removal": prior_removal,
    "replica_spread": replica_spread,
    "sampling_speed": sampling_speed,
    "scale": scale,
    "stress": stress,
    "top_mass": top_mass,
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
