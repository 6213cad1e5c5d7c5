"""Tables of the benchmarks of OmniFold."""

from __future__ import annotations

from statistics import fmean
from typing import Any

Rows = list[dict[str, Any]]


def omnifold_speed(figures: dict[str, Any]) -> tuple[str, Rows]:
    """OmniFold against the peer, its replicas against itself, and training against bare matrix products."""
    rows: Rows = []

    def row(what: str, ours: str, other: str, ratio: str) -> None:
        rows.append({"what": what, "truthward": ours, "compared with": other, "ratio": ratio})

    for name, case in figures["cases"].items():
        work = case["same_work"]
        if "omnifold" not in work:
            continue
        own, peer = work["truthward"], work["omnifold"]
        values = ["; ".join(f"{q:.2f}" for q in w["quality"]) for w in (own, peer)]
        ratio = f"{work['cpu_ratio']:.1f}"
        row(f"{name}, same work: CPU time", f"{own['cpu']:.0f} s", f"peer {peer['cpu']:.0f} s", ratio)
        row(f"{name}, same work: triangular discriminator, by seed", values[0], f"peer {values[1]}", "")
        for classifier, quality in case["time_to_quality"].items():
            if quality["reached"]:
                reached = f"{quality['reached']['wall']:.1f} s"
                ratio = f"{quality['peer_over_reached']:.0f}"
                row(
                    f"{name}, {classifier}: wall time to the peer's quality",
                    reached,
                    f"peer {peer['wall']:.0f} s",
                    ratio,
                )
            final = f"{quality['quality']:.3f} in {quality['wall']:.1f} s"
            row(f"{name}, {classifier}: the defaults", final, f"floor {quality['floor']:.3f}", "")
    for classifier, found in figures["replicas"].items():
        count = sum(found["replicas"].values())
        what = f"{count} replicas, {classifier}"
        row(what, f"{found['all']:.0f} s", f"one {found['one']:.1f} s", f"{found['over_one']:.1f}")
        if "peer_over_all" in found:
            row(what, f"{found['all']:.0f} s", f"{count} runs of the peer", f"{found['peer_over_all']:.0f}")
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
    text += (
        " excess over the floor at the row's own effective size. IBU and trees have no random number: their value is"
    )
    text += " that of the data, and the spread that of bootstraps of the data."
    return text + earlier({case: found["methods"] for case, found in figures["cases"].items()}), rows


def earlier(groups: dict[str, dict[str, Any]]) -> str:
    """A sentence on rows of an earlier commit than the file has; of group -> method -> figures."""
    commits: dict[str, dict[str, list[str]]] = {}
    for group, methods in groups.items():
        for method, f in methods.items():
            if "commit" in f:
                commits.setdefault(f["commit"][:10], {}).setdefault(method, []).append(group)
    texts = []
    for commit, rows in sorted(commits.items()):
        names = [m if len(kept) == len(groups) else f"{m} ({' and '.join(kept)})" for m, kept in rows.items()]
        texts.append(f"{', '.join(names)}: commit {commit}")
    return f" Rows of an earlier run: {'; '.join(texts)}." if texts else ""


def training_profile(figures: dict[str, Any]) -> tuple[str, Rows]:
    """Time of a training step by operator, with written-out passes and with automatic derivatives."""
    rows: Rows = []
    for members, times in figures["steps"].items():
        for name in ("written out", "automatic"):
            share = f"{times['bare products'] / times[name]:.0%}"
            what = f"whole step, stack of {members}, per member"
            rows.append({"passes": name, "operator": what, "µs": f"{times[name]:.0f}", "share": share, "calls": ""})
    for name, operators in figures["operators"].items():
        for o in operators:
            cells = {"µs": f"{o['microseconds']:.0f}", "share": f"{o['share']:.0%}", "calls": f"{o['calls']:.0f}"}
            rows.append({"passes": name, "operator": f"`{o['operator']}`", **cells})
    network = figures["network"]
    text = f"CPU time of a training step of {figures['batch']:,} events with {network['depth']} layers of"
    text += f" {network['width']}, {network['activation']}, on one thread: written-out passes against automatic"
    text += " derivatives. The share of a whole step is that of bare matrix products in it; of an operator, its share"
    return f"{text} in the profile, calls are those of a step.", rows


def classifiers(figures: dict[str, Any]) -> tuple[str, Rows]:
    """A network against boosted trees, observable by observable."""
    rows: Rows = []
    for sample, found in figures["samples"].items():
        for name, f in found.items():
            each = " ".join(f"{n} {v:.2f} ± {f['spread'][n]:.2f}" for n, v in f["value"].items())
            mean = f"{f['mean']:.3f} ± {f['mean_spread']:.3f}"
            row = {"sample, events": sample, "classifier": name, "triangular discriminator x 10^3": each, "mean": mean}
            rows.append(row | {"CPU": f"{f['seconds']:.1f} s"})
    text = "OmniFold with a network and with boosted trees on the same events: values of the data, with the spread of"
    return f"{text} {figures['bootstraps']} bootstraps of the data.", rows


def boosters(figures: dict[str, Any]) -> tuple[str, Rows]:
    """Libraries of boosted trees on one step of re-weighting, and OmniFold with plain trees."""

    def reached(f: dict[str, Any]) -> str:
        value = f"{f['triangular']:.2f}" if "triangular" in f else ""
        if "refused" not in f:
            return value
        return f"by gradients: {value}" if value else "refused"

    rows: Rows = [
        {
            "sample": sample,
            "library": library,
            "triangular discriminator": f"{f['triangular']:.2f}",
            "AUC": f"{f['auc']:.4f}" if "auc" in f else "",
            "bins": f"{f['bins']:.2f} s" if f.get("bins") else "",
            "a training": f"{f['training']:.2f} s" if "training" in f else "",
            "weights of both signs": reached(f.get("signed", {})),
            "logits to start from": reached(f.get("start", {})),
        }
        for sample, libraries in figures["steps"].items()
        for library, f in libraries.items()
    ]
    u, peer = figures["unfolding"], figures["peer"]
    ours, plain = u["ours"], u["peer"]
    text = (
        f"One reco step on half of {figures['events']:,} + {figures['events']:,} events, judged on the others: the same"
        " number of trees, leaves and rate, one thread. Triangular discriminator x 10^3 of the re-weighted simulation"
        f" against the data, CPU time of the bins and of each of {figures['trainings']} trainings with other weights"
        " (median). scikit-learn makes its bins anew in each training. Where XGBoost refuses weights of both signs, it"
        " gets gradients. Logits to start from are a slope in the first input, which the trees have to take back."
        f" OmniFold of {u['events']:,} events of Z+jets with plain trees of scikit-learn"
        f" ({peer['trees']} of depth {peer['depth']}, {peer['iterations']} iterations) takes {plain['cpu']:.0f} s of"
        f" CPU time and reaches {plain['quality']:.3f} (before: {u['prior']:.1f}, floor: {ours['floor']:.3f}); ours"
        f" reaches {ours['quality']:.3f} in {ours['cpu']:.1f} s"
    )
    if ours["reached"]:
        text += f", and the peer's quality in {ours['reached']['cpu']:.1f} s"
    return f"{text}.", rows


def replica_spread(figures: dict[str, Any]) -> tuple[str, Rows]:
    """Bootstraps that respond against bootstraps that are trained."""
    cost = figures["cost"]
    text = f"Bootstraps as responses of the nominal's networks against trainings; {cost['replicas']} of them take"
    text += f" {cost['over_nominal']:.1f} times a nominal unfolding of {cost['events']:,} events."
    return text, _spread_rows(figures["spread"])


def tree_spread(figures: dict[str, Any]) -> tuple[str, Rows]:
    """Bootstraps by the response of leaves against bootstraps that are trained."""
    texts = ["Bootstraps of boosted trees by the response of leaves against trainings, which choose their splits anew."]
    for sample, f in figures["summed"].items():
        sums, shift = {name: each["mean"] for name, each in f.items()}, fmean(figures["shift"][sample])
        texts.append(
            f"{sample}: the variances of both families by response and of `initialisation` sum to"
            f" {sums['response_with_initialisation']:.2f} of that of trainings with data and simulation drawn anew at"
            f" once; without `initialisation` to {sums['response']:.2f}, and of both families by training to"
            f" {sums['training']:.2f}. The mean of `initialisation` lies {shift:.2f} standard deviations of such"
            " trainings off the nominal."
        )
    return " ".join(texts), _spread_rows(figures["spread"])


def _spread_rows(spread: dict[str, Any]) -> Rows:
    return [
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
        for sample, families in spread.items()
        for family, f in families.items()
    ]
