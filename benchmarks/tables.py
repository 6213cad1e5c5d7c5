"""Write the README's tables from benchmarks/results/*.json, so that no figure is typed by hand."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "src"))

from _tables_sampling import sampling_speed  # noqa: E402

from truthward.artefact import read_json, write_text  # noqa: E402

START, END = "<!-- tables -->", "<!-- /tables -->"
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


def landscape(figures: dict[str, Any]) -> tuple[str, Rows]:
    """All models as unfolders, with and without removal of the prior, beside OmniFold and IBU."""
    names, rows = ("m", "M", "w", "ln_rho", "tau21", "zg"), []
    closing = figures["verdict"]["closing"]

    def row(method: str, cells: dict[str, str], f: dict[str, Any]) -> dict[str, Any]:
        rate = f.get("events_per_second")
        return {
            "method": method,
            **cells,
            "close": f"{len(f['closing'])} of {len(names)}" if "closing" in f else "",
            **{k.upper(): f"{f[k]['mean']:.{d}f} ± {f[k]['sd']:.{d}f}" if k in f else "" for k, d in
               (("auc", 4), ("jsd", 5))},
            "training (CPU)": f"{f['train_cpu']:.0f} s" if "train_cpu" in f else "",
            "events drawn / s": f"{rate:,.0f}" if rate else "",
        }  # fmt: skip

    for method, results in figures["methods"].items():
        for what, f in results.items():
            cells = {n: f"{f['value'][n]:.2f} ± {f['spread'][n]:.2f} ({f['excess'][n]:+.2f})" for n in names}
            judged = {"closing": closing[method]} if what == "prior removed" else {}
            rows.append(row(f"{method}, {what}" if what else method, cells, f | judged))
    for what, name in (("simulation", "simulation before"), ("data", "data before"), ("floor", "truth against truth")):
        cells = {n: f"{figures['before'][n][what]:.2f}" for n in names}
        rows.append(row(name, cells, figures["truth"] if what == "floor" else {}))
    limits = ", ".join(f"{n} {figures['verdict']['limits'][n]:.2f}" for n in names)
    text = (
        "Z+jets, 200,000 events each of simulation and data: triangular discriminator x 10^3 against the truth, mean ± "
        "spread over seeds, in brackets the excess over the floor, in which draws of one data event count as one; for "
        "IBU the spread is that of the data. AUC and JSD: of a classifier of unfolded events and "
        f"truth, {figures['tested']:,} of each. An observable closes where its excess is at most 1.5 times the larger "
        f"of MultiFold's and the floor's own standard deviation ({limits})."
    )
    return text, rows


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


def top_mass(figures: dict[str, Any]) -> tuple[str, Rows]:
    """The fitted mass against the true one for each training, and the pulls."""
    rows = []
    for method, f in figures["methods"].items():
        cells = {f"data of {m} GeV": f"{g['value']:.2f} ± {g['sigma']:.2f}" for m, g in f["fits"].items()}
        slope, offset = (f"{f[n]:{sign}.2f} ± {f[f'{n}_error']:.2f}" for n, sign in (("slope", ""), ("offset", "+")))
        rows.append({"trained on": method, **cells, "slope": slope, "offset at 172.5 [GeV]": offset})
    errors = next(reversed(figures["methods"].values()))["fits"]
    parts = {n: [f["parts"][n] for f in errors.values()] for n in next(iter(errors.values()))["parts"]}
    stated = ", ".join(f"{n} {min(v):.2f} to {max(v):.2f} GeV" for n, v in parts.items())
    caption = (
        f"Top mass [GeV] fitted to unfolded m_jjj, {figures['simulated']:,} simulated events of five masses and "
        f"{figures['events']:,} independent ones of each mass as data; errors of the last row: {stated}, those of the "
        f"others are statistical. {figures['experiments']} experiments of parts of the data: pulls of mean "
        f"{figures['pull_mean']:+.2f} and width {figures['pull_width']:.2f}"
    )
    return f"{caption}.", rows


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


def prior_removal(figures: dict[str, Any]) -> tuple[str, Rows]:
    """Bias and spread after each iteration, and triangular discriminators before, and where the rule ends it."""
    rows: Rows = []

    def triangular(line: dict[str, Any]) -> str:
        return ", ".join(f"{n} {o['triangular']:.2f}" for n, o in line["observables"].items())

    for problem, found in figures["problems"].items():
        prior = found["prior"]
        numbers = range(1, 1 + max(len(f["iterations"]) for f in found["methods"].values()))
        first = {"before": f"{prior['bias']:.1f}"}
        floor = ", ".join(f"{n} {o['floor']:.2f}" for n, o in prior["observables"].items())
        empty = {str(n): "" for n in numbers} | {"by the rule": ""}
        both = f"{triangular(prior)}; floor {floor}"
        rows.append({"problem": problem, "method": "simulation", **first, **empty, "triangular": both})
        if problem == "gaussian":
            ideal = {str(n): f"{figures['exact'][n]['bias']:.2f}" for n in numbers}
            rows.append({"problem": problem, "method": "Bayes' theorem", **first, **ideal, "by the rule": "",
                         "triangular": ""})  # fmt: skip
        for method, f in found["methods"].items():
            lines = zip(numbers, f["iterations"], strict=True)
            cells = {str(n): f"{line['bias']:.2f} ± {line['spread']:.2f}" for n, line in lines}
            chosen, ruled = "/".join(map(str, f["chosen"])), f["ruled"]
            end = f"{ruled['bias']:.2f} ± {ruled['spread']:.2f} ({chosen})"
            rows.append({"problem": problem, "method": method, **first, **cells, "by the rule": end,
                         "triangular": triangular(ruled)})  # fmt: skip
    text = (
        f"Bias ± spread over {figures['toys']} toys in ten bins of each observable, in units of the square root of the "
        "true events, before unfolding, after each iteration and where the rule ends them (after how many), with the "
        "triangular discriminator x 10^3 there"
    )
    return f"{text}; `floor`: that of the true events, counted. Iteration 1 has the simulation's prior.", rows


def density_uncertainty(figures: dict[str, Any]) -> tuple[str, Rows]:
    """Pulls of bin probabilities, method by method, and the remedies tried."""
    rows = [
        {
            "seeds": seeds,
            "uncertainty": name,
            "options": ", ".join(f"{k} {v}" for k, v in f["uncertainty"].items() if k not in ("kind", "members")),
            "width of pulls": f"{f['width']:.2f} ± {f['width_error']:.2f}",
            "at best": f"{f['ideal']:.2f}",
            "mean pull": f"{f['mean']:+.2f} ± {f['mean_error']:.2f}",
            "true error / counting": f"{f['error_over_counting']:.2f}",
            "stated / counting": f"{f['sigma_over_counting']:.2f}",
            "sets x members": f"{f['sets']} x {f['members']}",
        }
        for seeds, part in (("quoted", "methods"), ("tuning", "remedies"))
        for name, f in figures[part].items()
    ]
    text = f"Probabilities of 9 quantile bins of a known density, learned from {figures['events']:,} events: mean over"
    return f"{text} members, less the truth, over sigma. Counting: the error of the events' own fractions.", rows


TABLES = {
    "coverage": coverage,
    "density_uncertainty": density_uncertainty,
    "faults": faults,
    "fuzz": fuzz,
    "gaussian_closure": gaussian_closure,
    "landscape": landscape,
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


def markdown(content: dict[str, Any]) -> str:
    """One benchmark: what it measures, its table, and where the numbers come from."""
    caption, rows = TABLES[content["name"]](content["figures"])
    titles = list(rows[0])
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    lines += ["| " + " | ".join(str(row[title]) for title in titles) + " |" for row in rows]
    machine, commit = content["machine"], (content["git"]["commit"] or "unknown")[:10]
    source = f"{machine['cores']} cores of {machine['processor']}; {content['date']}, commit {commit}"
    head = f"**{content['name']}.** {caption}"
    return f"{head}\n\n" + "\n".join(lines) + f"\n\n`make bench NAME={content['name']}`, {source}.\n"


def main() -> None:
    """Replace what stands between the markers of the README."""
    readme = HERE.parent / "README.md"
    text = readme.read_text(encoding="utf-8")
    body = "\n".join(markdown(read_json(path)) for path in sorted((HERE / "results").glob("*.json")))
    marked = re.compile(re.escape(START) + ".*?" + re.escape(END), re.DOTALL)
    write_text(readme, marked.sub(lambda _: f"{START}\n\n{body}\n{END}", text))


if __name__ == "__main__":
    main()
