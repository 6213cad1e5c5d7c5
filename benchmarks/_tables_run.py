"""Tables of the benchmarks of what surrounds the stages: faults, damaged files, sizes, costs, planted mistakes."""

from __future__ import annotations

from typing import Any

from _tables_omnifold import earlier

Rows = list[dict[str, Any]]


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
        row: dict[str, Any] = {"stage": stage}
        found = []
        for size in sizes:
            cell, f = "–", figures["sizes"][size].get(stage)
            if f is not None:
                found.append(f)
                cell = f"{f['seconds']:.0f} s, {f['cpu'] / int(size) * 1e6:.1f} µs/event, {f['peak_mb']:.0f} MB"
            row[f"{int(size):.0e}".replace("e+0", "e") + " events"] = cell
        before, last = found[-2:]
        row["time, largest / one before"] = f"{last['cpu'] / before['cpu']:.1f}"
        row["memory"] = f"{last['peak_mb'] / before['peak_mb']:.2f}"
        rows.append(row)
    text = (
        "Each stage in a process of its own on one thread: wall time, CPU time an event, peak memory. As many events "
        f"of simulation as of data; unfolding of {figures['iterations']} iterations, networks of one epoch. OmniFold is"
        f" streamed through a buffer of {figures['buffer']:,} rows; boosted trees hold the inputs of all events, and "
        "the generative method holds all events. Validation has as many events of each sample for its classifiers."
    )
    return text + earlier(figures["sizes"]), rows


def explore(figures: dict[str, Any]) -> tuple[str, Rows]:
    """Size of the page of a publication, and how long a browser takes over it."""
    rows: Rows = [
        {
            "events": f"{int(events):,}",
            "page": f"{f['mb']:.0f} MB",
            "events.parquet": f"{f['parquet_mb']:.0f} MB",
            "first figure": f"{f['figure']:.1f} s",
            "all bands": f"{f['band']:.1f} s",
            "another selection": f"{f['answer']:.2f} s",
        }
        for events, f in sorted(figures["sizes"].items(), key=lambda size: int(size[0]))
    ]
    text = (
        f"`explore.html` of {figures['observables']} observables and {figures['replicas']} replicas, opened from disk"
    )
    return f"{text} in a headless Chromium; seconds from the call, fastest of five.", rows


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


def simulation_rate(figures: dict[str, Any]) -> tuple[str, Rows]:
    """Rate of the simulation stage over that of Pythia alone, and where the time of an event goes."""
    rows = [
        {
            "sample": name,
            "rate / Pythia alone": f"{f['ratio']:.0%} ({f['ratios'][0]:.0%} to {f['ratios'][-1]:.0%})",
            "stage": f"{f['stage']:.1f} ms",
            "Pythia alone": f"{f['pythia']:.1f} ms",
            **{part: f"{milliseconds:.2f} ms" for part, milliseconds in f["parts"].items()},
        }
        for name, f in figures["samples"].items()
    ]
    caption = (
        f"CPU time an accepted event of the default study: median over {figures['seeds']} blocks of "
        f"{figures['events']:,} events, for each of which Pythia starts anew. Pythia alone makes the same events."
    )
    return caption, rows
