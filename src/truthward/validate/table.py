"""One table that compares the methods, beside the data and the simulation before unfolding, and the floor."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from truthward.errors import InputError
from truthward.run.artefact import read_json, write_json, write_text
from truthward.run.provenance import Record
from truthward.validate.metrics import triangular_discriminator

DATA, PRIOR, FLOOR = "data before unfolding", "simulation before unfolding", "floor"

NOTE = """\
Triangular discriminator (arXiv:2503.09720) against the truth for each observable, of all rows in the declared bins:
value ± spread over seeds (of methods without randomness, over bootstraps of the data; before unfolding, of the sample);
floor: of two samples of the truth. In brackets the excess over the floor at the row's own effective size. AUC and JSD
of a classifier of all observables jointly against the truth. chi2 p and refolded p: the smallest over observables.
Yield: over the truth's. ESS: effective number of events of the weights, draws of one event counting as one.
"""


WORDS = {"data_bootstrap": "the bootstraps of the data", "counting": "counting the data"}


def compare(
    validated: Mapping[str, str | Path],
    *,
    surrogates: Mapping[str, str | Path] | None = None,
    posteriors: Mapping[str, str | Path] | None = None,
    output_json: str | Path,
    output_csv: str | Path,
    output_md: str | Path,
    record: Record,
) -> dict[str, Any]:
    """Write the table of methods as JSON, CSV (values and spreads in columns of their own) and Markdown.

    Args:
        validated: method -> its JSON of `validate_method`, in the order of the rows.
        surrogates: model -> its JSON of `validate_surrogate`; a second table.
        posteriors: method -> its JSON of `validate_posterior`, where it has one; a third.

    Returns:
        {observables, rows: [row...], better_than_prior: {method: count}, used (events of each sample in unbinned
        figures, None where those are of all), sampling: {method: `sampling.sampling`} of methods that draw events,
        surrogates: [row...], posteriors: [row...], provenance}.
        A row: name, kind, triangular: {observable: {value, spread, excess}}, auc, jsd, yield_ratio ({value, spread}),
        chi2_p, refold_p, effective_sample_size; whatever is not defined for it is None. verdicts: {method:
        `judgement.judge`}. binned: {method that unfolds in bins of its own: `_in_bins_of`}.
    """
    if not validated:
        raise InputError("no validated method to compare; run the validation of at least one")
    found = {name: read_json(path) for name, path in validated.items()}
    names: list[str] = list(dict.fromkeys(o for content in found.values() for o in content["names"]))
    rows = [_row(name, content, names) for name, content in found.items()]
    # What does not depend on the method is taken from the one that says most about it.
    fullest = max(found.values(), key=lambda c: (c["two_sample"]["floor"] is not None, len(c["observables"])))
    rows += [
        _reference(DATA, "data", fullest, names),
        _reference(PRIOR, "prior", fullest, names),
        _floor(fullest, names),
    ]
    prior = rows[-2]["triangular"]
    content = {
        "verdicts": {name: c["verdict"] for name, c in found.items()},
        "binned": {name: _in_bins_of(name, found) for name, c in found.items() if _is_binned(c)},
        "observables": names,
        "rows": rows,
        "better_than_prior": {r["name"]: _better(r["triangular"], prior) for r in rows[: len(found)]},
        "used": max(map(_used, found.values()), default=None, key=lambda used: used or 0),
        "sampling": {name: c["sampling"] for name, c in found.items() if c.get("sampling")},
        "surrogates": [_surrogate(name, read_json(path)) for name, path in (surrogates or {}).items()],
        "posteriors": [_posterior(name, read_json(path)) for name, path in (posteriors or {}).items()],
        "provenance": record.finish(events_in=len(found), events_out=len(rows)),
    }
    write_json(output_json, content)
    write_text(output_csv, _csv(rows, names))
    write_text(output_md, _markdown(content))
    return content


def _row(name: str, content: dict[str, Any], names: list[str]) -> dict[str, Any]:
    each = content["observables"]
    triangular = {}
    for n in names:
        entry = each.get(n, {}).get("triangular")
        triangular[n] = _entry(entry["unfolded"], _seeds(entry["unfolded"]["replicas"])) if entry else None
    two_sample, yields = content["two_sample"]["unfolded"], content["yield"]
    return _blank(name, content["kind"]) | {
        "triangular": triangular,
        "auc": _value(two_sample and two_sample["auc"]),
        "jsd": _value(two_sample and two_sample["jsd"]),
        "chi2_p": _smallest([(o["chi2"] or {}).get("unfolded") for o in each.values()]),
        "refold_p": _smallest([o["refold"]["unfolded"]["chi2"] for o in each.values()]),
        "yield_ratio": {"value": yields["ratio"], "spread": yields["ratio_sigma"]} if "ratio" in yields else None,
        "effective_sample_size": content["weights"]["effective_sample_size"],
    }


def _reference(name: str, which: str, content: dict[str, Any], names: list[str]) -> dict[str, Any]:
    each, triangular = content["observables"], {}
    for n in names:
        entry = each.get(n, {}).get("triangular")
        triangular[n] = _entry(entry[which], entry[which]["replicas"]["bootstrap"]["sd"]) if entry else None
    row = _blank(name, None) | {"triangular": triangular}
    if which == "prior":
        test = content["two_sample"]["prior"]
        row |= {
            "auc": _value(test and test["auc"]),
            "jsd": _value(test and test["jsd"]),
            "chi2_p": _smallest([(o["chi2"] or {}).get("prior") for o in each.values()]),
            "refold_p": _smallest([o["refold"]["prior"]["chi2"] for o in each.values()]),
        }
    return row


def _floor(content: dict[str, Any], names: list[str]) -> dict[str, Any]:
    each, triangular = content["observables"], {}
    for n in names:
        entry = each.get(n, {}).get("triangular")
        triangular[n] = (
            {"value": entry["floor"]["mean"], "spread": entry["floor"]["sd"], "excess": None} if entry else None
        )
    test = content["two_sample"]["floor"]
    return _blank(FLOOR, None) | {
        "triangular": triangular,
        "auc": _value(test and test["auc"]),
        "jsd": _value(test and test["jsd"]),
    }


def _surrogate(name: str, content: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "flags": len(content["flags"])}
    for level in ("truth", "reco"):
        row[f"triangular_{level}"] = {
            n: _entry(o["triangular"], (o["triangular"].get("members") or {}).get("sd"))
            for n, o in content["levels"][level].items()
        }
    for which, test in content["two_sample"].items():
        row[f"auc_{which}"] = _value(test and test["surrogate"]["auc"])
        row[f"floor_auc_{which}"] = _value(test and test["floor"]["auc"])
    return row


def _posterior(name: str, content: dict[str, Any]) -> dict[str, Any]:
    def p(figures: dict[str, Any]) -> float:
        return min(figures["chi2"]["p"], figures["ks"]["p"])

    return {
        "name": name,
        "conditional": content["conditional"],
        "ranks_p": {n: p(figures) for n, figures in content["ranks"].items()},
        "ranks_spread": {n: figures["spread"]["value"] for n, figures in content["ranks"].items()},
        "tarp_p": p(content["tarp"]),
        "flags": len(content["flags"]),
        "used": content["used"]["used"],
    }


def _is_binned(content: dict[str, Any]) -> bool:
    return any(o["binned"] for o in content["observables"].values())


def _in_bins_of(name: str, found: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Where the truth is known, triangular discriminators of all methods in the bins that one of them unfolded.

    Returns:
        bins, declared: {observable: number}; triangular: {method: {observable: value, None where a bin is negative}}.
    """
    own = {n: o["histogram"]["own"] for n, o in found[name]["observables"].items() if o["binned"]}
    result: dict[str, Any] = {
        "bins": {n: len(h["edges"]) - 1 for n, h in own.items()},
        "declared": {n: len(found[name]["observables"][n]["refold"]["unfolded"]["edges"]) - 1 for n in own},
        "triangular": {},
    }
    for method, content in found.items():
        values: dict[str, float | None] = {}
        for n, target in own.items():
            tested = content["observables"].get(n, {}).get("histogram", {}).get("own")
            if tested is None or "truth" not in target:
                continue
            edges, start = np.array(target["edges"]), np.searchsorted(tested["edges"], target["edges"])
            if not set(target["edges"]) <= set(tested["edges"]):
                continue  # Of a method with other bins of its own.
            p = np.add.reduceat(np.array(tested["unfolded"]["sum"])[: start[-1]], start[:-1])
            try:
                values[n] = triangular_discriminator(p, np.array(target["truth"]["sum"]), edges)
            except InputError:
                values[n] = None
        if values:
            result["triangular"][method] = values
    return result


def _used(content: dict[str, Any]) -> int | None:
    """Events of the largest sample in unbinned figures, where those are not all."""
    return max((s["used"] for s in content["used"].values() if s["used"] < s["events"]), default=None)


def _blank(name: str, kind: str | None) -> dict[str, Any]:
    empty = ("auc", "jsd", "chi2_p", "refold_p", "yield_ratio", "effective_sample_size")
    return {"name": name, "kind": kind, "triangular": {}, **dict.fromkeys(empty)}


def _entry(entry: dict[str, Any], spread: float | None) -> dict[str, Any]:
    return {"value": entry["value"], "spread": spread, "excess": entry["excess"]}


def _seeds(replicas: dict[str, Any]) -> float | None:
    # Over initialisations, as the field repeats its trainings; of a method that has nothing random, over bootstraps.
    spreads = [replicas[f]["sd"] for f in ("initialisation", "data_bootstrap", "mc_bootstrap") if f in replicas]
    # A method without randomness repeats itself up to rounding.
    return next((s for s in spreads if s is not None and s > 1e-9), spreads[0] if spreads else None)


def _value(found: dict[str, Any] | None) -> dict[str, Any] | None:
    return {"value": found["mean"], "spread": found["sd"]} if found else None


def _smallest(tests: list[dict[str, Any] | None]) -> float | None:
    return min((t["p"] for t in tests if t and t["p"] is not None), default=None)


def _better(triangular: dict[str, Any], prior: dict[str, Any]) -> int | None:
    pairs = [(triangular[n], prior[n]) for n in triangular if triangular[n] and prior[n]]
    known = [(a["excess"], b["excess"]) for a, b in pairs if a["excess"] is not None and b["excess"] is not None]
    return sum(a < b for a, b in known) if known else None


def _csv(rows: list[dict[str, Any]], names: list[str]) -> str:
    buffer = io.StringIO()
    heads = [f"{n}{end}" for n in names for end in ("", "_spread", "_excess")]
    pairs = ("auc", "jsd", "yield_ratio")
    singles = ("chi2_p", "refold_p", "effective_sample_size")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["method", "kind", *heads, *(f"{p}{end}" for p in pairs for end in ("", "_spread")), *singles])
    for row in rows:
        cells = [(row["triangular"].get(n) or {}).get(k) for n in names for k in ("value", "spread", "excess")]
        cells += [(row[p] or {}).get(k) for p in pairs for k in ("value", "spread")] + [row[s] for s in singles]
        numbers = ("" if c is None else f"{c:.6g}" for c in cells)
        writer.writerow([row["name"], row["kind"] or "", *numbers])
    return buffer.getvalue()


def _markdown(content: dict[str, Any]) -> str:
    names = content["observables"]
    head = ["", *names, "AUC", "JSD", "chi2 p", "refolded p", "yield", "ESS"]
    lines = [head, ["---"] * len(head)]
    for row in content["rows"]:
        cells = [_cell(row["triangular"].get(n), "{:.2f}") for n in names]
        cells += [
            _cell(row["auc"], "{:.4f}"),
            _cell(row["jsd"], "{:.4f}"),
            _number(row["chi2_p"], "{:.2g}"),
            _number(row["refold_p"], "{:.2g}"),
            _cell(row["yield_ratio"], "{:.3f}"),
            _number(row["effective_sample_size"], "{:.0f}"),
        ]
        lines.append([row["name"], *cells])
    text = _verdicts(content["verdicts"])
    text += "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{NOTE}"
    for name, entry in content["binned"].items():
        counts = ", ".join(f"{n} in {bins} of {entry['declared'][n]}" for n, bins in entry["bins"].items())
        text += f"\n`{name}` unfolds in bins of its own, declared ones merged: {counts}; drawn and judged in these. "
        if not entry["triangular"]:
            continue
        text += (
            "Within them it has the shape of the simulation, which the table above, in the declared bins, holds "
            "against it. Triangular discriminator of all methods in these bins:\n\n"
        )
        own = list(entry["bins"])
        part = [["", *own], ["---"] * (1 + len(own))]
        part += [[m, *(_number(each.get(n), "{:.2f}") for n in own)] for m, each in entry["triangular"].items()]
        text += "\n".join(f"| {' | '.join(line)} |" for line in part) + "\n"
    if content["used"] is not None:
        text += (
            f"\nAUC and JSD are of {content['used']} events of each larger sample, drawn by a hash; all else of all.\n"
        )
    for name, noise in content["sampling"].items():
        largest = max(noise["observables"], key=noise["observables"].__getitem__)
        text += (
            f"\nNoise of drawing in {name}: {noise['share']:.1%} of the variance of {WORDS[noise['statistical']]}, "
            f"most in {largest} ({noise['observables'][largest]:.1%}), in coarse bins.\n"
        )
    for row in content["surrogates"]:
        auc = ", ".join(
            f"{w} {_cell(row[f'auc_{w}'], '{:.4f}')} (floor {_cell(row[f'floor_auc_{w}'], '{:.4f}')})"
            for w in ("truth", "reco", "both")
            if row.get(f"auc_{w}")
        )
        text += f"\nSurrogate {row['name']} against held-out simulation: AUC {auc}; flags: {row['flags']}.\n"
    for row in content["posteriors"]:
        low, high = min(row["ranks_spread"].values()), max(row["ranks_spread"].values())
        text += (
            f"\nPosteriors of {row['name']} on {row['used']} held-out events: smallest p of the ranks "
            f"{min(row['ranks_p'].values()):.2g}, of TARP {row['tarp_p']:.2g}; spread of the ranks "
            f"{low:.3f} to {high:.3f} of uniform ones"
        )
        text += f"; flags: {row['flags']}.\n" if row["conditional"] else "; it maps distributions and states none.\n"
    return text


def _verdicts(verdicts: Mapping[str, Mapping[str, Any]]) -> str:
    text = ""
    for name, found in verdicts.items():
        text += f"**{name}: {found['verdict']}**"
        text += ", judged without a truth\n" if found["without_truth"] else "\n"
        text += "".join(f"- {reason}\n" for reason in found["reasons"]) + "\n"
    return text


def _cell(entry: dict[str, Any] | None, style: str) -> str:
    if not entry or entry["value"] is None:
        return "–"
    text = style.format(entry["value"])
    text += f" ± {style.format(entry['spread'])}" if entry["spread"] is not None else ""
    return text + (f" ({entry['excess']:+.2f})" if entry.get("excess") is not None else "")


def _number(value: float | None, style: str) -> str:
    return "–" if value is None else style.format(value)
