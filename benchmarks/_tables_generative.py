"""Tables of the benchmarks of generative models."""

from __future__ import annotations

from typing import Any

Rows = list[dict[str, Any]]


def one_step(figures: dict[str, Any]) -> tuple[str, Rows]:
    """Teacher and student of each seed."""
    rows = [
        {
            "seed": seed,
            "AUC, teacher": f"{f['auc']['teacher']:.4f}",
            "AUC, student": f"{f['auc']['student']:.4f}",
            "AUC, floor": f"{f['auc']['floor']:.4f}",
            "distance": f"{f['distance']:.3f}",
            "events/s, teacher": f"{f['events_per_second']['teacher']:,}",
            "events/s, student": f"{f['events_per_second']['student']:,}",
            "training, teacher (s)": f"{f['training_seconds']['teacher']:.0f}",
            "training, student (s)": f"{f['training_seconds']['student']:.0f}",
        }
        for seed, f in enumerate(figures["rows"])
    ]
    excess = figures["excess"]
    text = (
        "A student that draws in one step (`consistency`) beside its teacher, flow matching of the target of "
        f"`sampling_speed`, both trained anew for each seed on {figures['training']:,} events. AUC of a classifier "
        f"between {figures['tested']:,} drawn and as many true events; the floor is that of two true samples. The "
        f"student's AUC minus the teacher's is {excess['mean']:+.4f} on average over {figures['seeds']} seeds, which "
        f"spread by {excess['spread']:.4f}. The student draws {figures['faster']:.1f} times as fast. The distance is "
        "the root of the mean square between events of the same noise, in columns of about unit variance."
    )
    return text, rows


def sampling_speed(figures: dict[str, Any]) -> tuple[str, Rows]:
    """Solvers at equal quality, and ten members against one."""
    rate = {name: f["events_per_second"] for name, f in figures["rows"].items()}
    slowest = max(v for n, v in rate.items() if n.startswith("dopri5, b"))
    rows = [
        {
            "solver": name,
            "steps or tolerance": f.get("steps", f.get("tolerance")),
            "evaluations": f["evaluations"],
            "AUC (excess over the reference)": f"{f['auc']:.4f} ({f['excess']:+.4f})",
            "events/s": f"{f['events_per_second']:,}",
            "over dopri5 at 1e-5": f"{f['events_per_second'] / slowest:.1f}",
        }
        for name, f in figures["rows"].items()
    ]
    times = [
        f"{row['events']:,} events from each, {precision}: "
        + ", ".join(f"{name} {row[precision][name]:.1f}" for name in ("each", "stacked", "built for each"))
        for row in figures["ensemble"]
        for precision in ("fp32", "bf16")
    ]
    reference = figures["reference"]
    text = (
        f"Flow matching of a ring, half moons and a spiral in six dimensions: the fewest steps, and the loosest "
        f"tolerance of the adaptive solver, whose AUC against the truth exceeds that of the exact solution, "
        f"{reference['auc']:.4f}, by no more than its spread over {figures['seeds']} seeds, {reference['spread']:.4f}; "
        f"{figures['tested']:,} events a seed, one thread. The fastest in fp32, {figures['fastest']}, is "
        f"{figures['over_adaptive_loosest']:.1f} times as fast as the loosest dopri5; bf16 draws "
        f"{figures['bf16_over_fp32']:.1f} times as fast again. Ten members take, in times of one ({'; '.join(times)})."
    )
    return text, rows


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
            **{
                k.upper(): f"{f[k]['mean']:.{d}f}" + (f" ± {f[k]['sd']:.{d}f}" if f.get("seeds") != 1 else "")
                if k in f
                else ""
                for k, d in (("auc", 4), ("jsd", 5))
            },
            "training (CPU)": f"{f['train_cpu']:.0f} s" if "train_cpu" in f else "",
            "events drawn / s": f"{rate:,.0f}" if rate else "",
        }

    for method, results in figures["methods"].items():
        for what, f in results.items():
            cells = {n: f"{f['value'][n]:.2f} ± {f['spread'][n]:.2f} ({f['excess'][n]:+.2f})" for n in names}
            judged = {"closing": closing[method]} if what == "prior removed" else {}
            rows.append(row(f"{method}, {what}" if what else method, cells, f | judged))
    for what, name in (("simulation", "simulation before"), ("data", "data before"), ("floor", "truth against truth")):
        cells = {n: f"{figures['before'][n][what]:.2f}" for n in names}
        rows.append(row(name, cells, figures["truth"] if what == "floor" else {}))
    for remedy, results in figures["remedies"].items():
        f = results["prior removed"]
        cells = {n: f"{f['value'][n]:.2f} ({f['excess'][n]:+.2f})" for n in names}
        rows.append(row(f"remedy, flow matching: {remedy}", cells, f))
    for remedy, found in figures["closure"].items():
        cells = {n: f"{found[n]['value']:.2f} ({found[n]['excess']:+.2f})" for n in names}
        rows.append(row(f"remedy, no data: {remedy}", cells, {}))
    limits = ", ".join(f"{n} {figures['verdict']['limits'][n]:.3f}" for n in names)
    text = (
        "Z+jets, 200,000 events each of simulation and data: triangular discriminator x 10^3 against the truth, mean ± "
        "spread over seeds, in brackets the excess over the floor, in which draws of one data event count as one; for "
        "IBU the spread is that of the data. AUC and JSD: of a classifier of unfolded events and "
        f"truth, {figures['tested']:,} of each. An observable closes where its excess is at most 1.5 times the larger "
        f"of MultiFold's and the floor's own standard deviation ({limits}). Remedies for ln_rho and zg: of half of the "
        "events and one seed, that of the tuning; no data: drawn for the simulation itself, there is no prior."
    )
    return text, rows


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
        f"{figures['pull_mean']:+.2f} and width {figures['pull_width']:.2f}. The recipe was developed on other "
        "events"
    )
    return f"{caption}.", rows


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
            rows.append(
                {"problem": problem, "method": "Bayes' theorem", **first, **ideal, "by the rule": "", "triangular": ""}
            )
        for method, f in found["methods"].items():
            lines = zip(numbers, f["iterations"], strict=True)
            cells = {str(n): f"{line['bias']:.2f} ± {line['spread']:.2f}" for n, line in lines}
            chosen, ruled = "/".join(map(str, f["chosen"])), f["ruled"]
            end = f"{ruled['bias']:.2f} ± {ruled['spread']:.2f} ({chosen})"
            rows.append(
                {
                    "problem": problem,
                    "method": method,
                    **first,
                    **cells,
                    "by the rule": end,
                    "triangular": triangular(ruled),
                }
            )
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


def generative_spread(figures: dict[str, Any]) -> tuple[str, Rows]:
    """Bootstraps that weight the nominal's draws against bootstraps that are trained."""
    rows = []
    for sample, families in figures["spread"].items():
        shared = figures["common"][sample]
        both = {"data_bootstrap": ("", ""), "mc_bootstrap": (f"{shared['common_share']:.0%}", f"{shared['slope']:.2f}")}
        over = {"data_bootstrap": "", "mc_bootstrap": f"{shared['variance_over_common']:.2f}"}
        rows += [
            {
                "sample": sample,
                "family": family,
                "variance, response / training": f"{f['variance_ratio']:.2f} "
                + "[{:.2f}, {:.2f}]".format(*f["interval"]),
                "bins": sum(f["bins"]),
                "paired correlation": f"{f['paired_correlation']:.2f}",
                "distance of correlations": f"{f['correlation_distance']:.2f}",
                "of two sets of trainings": f"{f['correlation_distance_of_trainings']:.2f}",
                "common to two trainings": both[family][0],
                "variance, response / common": over[family],
                "slope": both[family][1],
            }
            for family, f in families.items()
        ]
    costs = []
    for sample, cost in figures["cost"].items():
        now, before = cost["response"], cost["training"]
        costs.append(
            f"{sample} {now['over_nominal']:.1f} instead of {before['over_nominal']:.1f} times a nominal unfolding, "
            f"and {now['megabytes']:.0f} MB in {now['rows']:,} rows instead of {before['megabytes']:.0f} MB in "
            f"{before['rows']:,}"
        )
    text = f"Bootstraps as weights of the nominal's draws against trainings; {2 * figures['replicas']} of them take: "
    return (
        f"{text}{'; '.join(costs)}. Common to two trainings: the share of the variance in which trainings of the same "
        "bootstraps with other initial weights agree; the rest is the noise of training. Slope: of their mean against "
        "the response. Trained bootstraps have half as many draws of each event, whose noise adds to their variance.",
        rows,
    )
