"""One table of all methods, of the data and the simulation before unfolding, and of the floor."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from truthward.errors import InputError
from truthward.records import read_record
from truthward.records.validate.figures import Chi2, Distance, Repeated, Scores, SplitTest
from truthward.records.validate.method import Distances, ValidatedMethod, Verdict
from truthward.records.validate.methods import Cell, InBinsOf, MethodRow, MethodsTable, PosteriorRow, SurrogateRow
from truthward.records.validate.posterior import Uniformity, ValidatedPosterior
from truthward.records.validate.surrogate import ValidatedSurrogate
from truthward.run.artefact import write_json, write_text
from truthward.run.provenance import Record
from truthward.study.numbers import measured
from truthward.validate.metrics import triangular_discriminator

DATA, PRIOR, FLOOR = "data before unfolding", "simulation before unfolding", "floor"

NOTE = """\
Triangular discriminator (arXiv:2503.09720) against the truth for each observable, of all rows in the declared bins:
value ± spread over seeds (of methods without randomness, over bootstraps of the data; before unfolding, of the sample);
floor: of two samples of the truth. In brackets the excess over the floor at the row's own effective size. AUC and JSD
of a classifier of all observables jointly against the truth. chi2 p and refolded p: the smallest over observables.
Yield: over the truth's. ESS: effective number of events of the weights, draws of one event counting as one.
"""


PAIRS: tuple[Literal["auc", "jsd", "yield_ratio"], ...] = ("auc", "jsd", "yield_ratio")
SINGLES: tuple[Literal["chi2_p", "refold_p", "effective_sample_size"], ...] = (
    "chi2_p",
    "refold_p",
    "effective_sample_size",
)
"""Figures of a row: `PAIRS` have a spread, `SINGLES` have none."""

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
) -> MethodsTable:
    """Write the table of methods as JSON, CSV (values and spreads in columns of their own) and Markdown.

    Args:
        validated: method -> its JSON from `validate_method`, in the order of the rows.
        surrogates: model -> its JSON from `validate_surrogate`, for a second table.
        posteriors: method -> its JSON from `validate_posterior`, if it has one, for a third table.

    Returns:
        {observables, rows: [row...], better_than_prior: {method: count}, used (number of events of each sample in
            unbinned figures, None if all events are used), sampling: {method that draws events:
            `noise_of_draws.sampling`}, surrogates: [row...], posteriors: [row...], provenance, verdicts: {method:
            `verdict.judge`}, binned: {method that unfolds in its own bins: `_in_bins_of`}}.
        A row: name, kind, triangular: {observable: {value, spread, excess}}, auc, jsd, yield_ratio ({value, spread}),
            chi2_p, refold_p, effective_sample_size. A figure that is not defined for the row is None.
    """
    if not validated:
        raise InputError("no validated method to compare; run the validation of at least one")
    found = {name: read_record(path, ValidatedMethod) for name, path in validated.items()}
    names: list[str] = list(dict.fromkeys(o for content in found.values() for o in content["names"]))
    rows = [_row(name, content, names) for name, content in found.items()]
    # Figures that do not depend on the method are taken from the method with the most figures.
    fullest = max(found.values(), key=lambda c: (c["two_sample"]["floor"] is not None, len(c["observables"])))
    rows += [_data(fullest, names), _prior(fullest, names), _floor(fullest, names)]
    prior = rows[-2]["triangular"]
    table: MethodsTable = {
        "verdicts": {name: c["verdict"] for name, c in found.items()},
        "binned": {
            name: _in_bins_of(name, found)
            for name, c in found.items()
            if any(o["binned"] for o in c["observables"].values())
        },
        "observables": names,
        "rows": rows,
        "better_than_prior": {r["name"]: _better(r["triangular"], prior) for r in rows[: len(found)]},
        "used": max(map(_used, found.values()), default=None, key=lambda used: used or 0),
        "sampling": {name: sampling for name, c in found.items() if (sampling := c["sampling"])},
        "surrogates": [
            _surrogate(name, read_record(path, ValidatedSurrogate)) for name, path in (surrogates or {}).items()
        ],
        "posteriors": [
            _posterior(name, read_record(path, ValidatedPosterior)) for name, path in (posteriors or {}).items()
        ],
        "provenance": record.finish(events_in=len(found), events_out=len(rows)),
    }
    write_json(output_json, table)
    write_text(output_csv, _csv(rows, names))
    write_text(output_md, _markdown(table))
    return table


def _row(name: str, content: ValidatedMethod, names: list[str]) -> MethodRow:
    cells: dict[str, Cell | None] = {}
    for n, distances in _triangular(content, names).items():
        found = distances and distances["unfolded"]
        cells[n] = found and _entry(found, _seeds(found.get("replicas", {})))
    row = _blank(name, content["kind"], cells, content["two_sample"]["unfolded"])
    each, yields = content["observables"].values(), content["yield"]
    row["chi2_p"] = _smallest([o["chi2"]["unfolded"] for o in each if o["chi2"]])
    row["refold_p"] = _smallest([o["refold"]["unfolded"]["chi2"] for o in each])
    if "ratio" in yields and "ratio_sigma" in yields:
        row["yield_ratio"] = {"value": yields["ratio"], "spread": yields["ratio_sigma"]}
    row["effective_sample_size"] = content["weights"]["effective_sample_size"]
    return row


def _triangular(content: ValidatedMethod, names: list[str]) -> dict[str, Distances | None]:
    """Discriminators of each observable; None if the method did not unfold it, or if there is no truth."""
    each = content["observables"]
    return {n: each[n]["triangular"] if n in each else None for n in names}


def _data(content: ValidatedMethod, names: list[str]) -> MethodRow:
    cells = {n: _before(distances and distances["data"]) for n, distances in _triangular(content, names).items()}
    return _blank(DATA, None, cells, None)


def _prior(content: ValidatedMethod, names: list[str]) -> MethodRow:
    cells = {n: _before(distances and distances["prior"]) for n, distances in _triangular(content, names).items()}
    row, each = _blank(PRIOR, None, cells, content["two_sample"]["prior"]), content["observables"].values()
    row["chi2_p"] = _smallest([o["chi2"]["prior"] for o in each if o["chi2"]])
    row["refold_p"] = _smallest([o["refold"]["prior"]["chi2"] for o in each])
    return row


def _before(found: Distance | None) -> Cell | None:
    """The discriminator of a sample before unfolding, with its spread over bootstraps."""
    return found and _entry(found, found["replicas"]["bootstrap"]["sd"])


def _floor(content: ValidatedMethod, names: list[str]) -> MethodRow:
    cells: dict[str, Cell | None] = {}
    for n, distances in _triangular(content, names).items():
        floor = distances and distances.get("floor")
        cells[n] = {"value": floor["mean"], "spread": floor["sd"], "excess": None} if floor else None
    return _blank(FLOOR, None, cells, content["two_sample"]["floor"])


def _surrogate(name: str, content: ValidatedSurrogate) -> SurrogateRow:
    def triangular(level: str) -> dict[str, Cell]:
        found = {n: o["triangular"] for n, o in content["levels"][level].items()}
        return {n: _entry(distance, distance["members"]["sd"]) for n, distance in found.items()}

    tests = content["two_sample"]
    return {
        "name": name,
        "flags": len(content["flags"]),
        "triangular_truth": triangular("truth"),
        "triangular_reco": triangular("reco"),
        "auc_truth": _value(tests["truth"]["surrogate"]["auc"]),
        "auc_reco": _value(tests["reco"]["surrogate"]["auc"]),
        "auc_both": _value(tests["both"]["surrogate"]["auc"]),
        "floor_auc_truth": _value(tests["truth"]["floor"]["auc"]),
        "floor_auc_reco": _value(tests["reco"]["floor"]["auc"]),
        "floor_auc_both": _value(tests["both"]["floor"]["auc"]),
    }


def _posterior(name: str, content: ValidatedPosterior) -> PosteriorRow:
    def p(figures: Uniformity) -> float:
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


def _in_bins_of(name: str, found: Mapping[str, ValidatedMethod]) -> InBinsOf:
    """Triangular discriminators of all methods in the bins that one of them unfolded, if the truth is known.

    Returns:
        bins, declared: {observable: number}; triangular: {method: {observable: value, None if a bin is negative}}.
    """
    own = {n: o["histogram"]["own"] for n, o in found[name]["observables"].items() if o["binned"]}
    result: InBinsOf = {
        "bins": {n: len(h["edges"]) - 1 for n, h in own.items()},
        "declared": {n: len(found[name]["observables"][n]["refold"]["unfolded"]["edges"]) - 1 for n in own},
        "triangular": {},
    }
    for method, content in found.items():
        values: dict[str, float | None] = {}
        for n, target in own.items():
            if n not in content["observables"] or "truth" not in target:
                continue
            tested = content["observables"][n]["histogram"]["own"]
            edges, start = np.array(target["edges"]), np.searchsorted(tested["edges"], target["edges"])
            if not set(target["edges"]) <= set(tested["edges"]):
                continue  # This method has its own bins, which are different.
            p = np.add.reduceat(np.array(tested["unfolded"]["sum"])[: start[-1]], start[:-1])
            try:
                values[n] = triangular_discriminator(p, np.array(target["truth"]["sum"]), edges)
            except InputError:
                values[n] = None
        if values:
            result["triangular"][method] = values
    return result


def _used(content: ValidatedMethod) -> int | None:
    """Number of used events of the largest sample in unbinned figures; None if all samples use all events."""
    return max((s["used"] for s in content["used"].values() if s["used"] < s["events"]), default=None)


def _blank(name: str, kind: str | None, triangular: dict[str, Cell | None], test: SplitTest | None) -> MethodRow:
    return {
        "name": name,
        "kind": kind,
        "triangular": triangular,
        "auc": test and _value(test["auc"]),
        "jsd": test and _value(test["jsd"]),
        "chi2_p": None,
        "refold_p": None,
        "yield_ratio": None,
        "effective_sample_size": None,
    }


def _entry(entry: Distance, spread: float | None) -> Cell:
    return {"value": entry["value"], "spread": spread, "excess": entry["excess"]}


def _seeds(replicas: Mapping[str, Repeated]) -> float | None:
    # The spread over initialisations, as papers repeat their trainings; without randomness, over bootstraps.
    spreads = [replicas[f]["sd"] for f in ("initialisation", "data_bootstrap", "mc_bootstrap") if f in replicas]
    # A method without randomness gives the same result each time, up to rounding.
    return next((s for s in spreads if s is not None and s > 1e-9), spreads[0] if spreads else None)


def _value(found: Scores) -> Cell:
    return {"value": found["mean"], "spread": found["sd"]}


def _smallest(tests: list[Chi2]) -> float | None:
    return min((p for t in tests if (p := t["p"]) is not None), default=None)


def _better(triangular: Mapping[str, Cell | None], prior: Mapping[str, Cell | None]) -> int | None:
    pairs = [(_excess(cell), _excess(prior[n])) for n, cell in triangular.items()]
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    return sum(a < b for a, b in known) if known else None


def _excess(cell: Cell | None) -> float | None:
    return cell.get("excess") if cell else None


def _csv(rows: list[MethodRow], names: list[str]) -> str:
    buffer = io.StringIO()
    heads = [f"{n}{end}" for n in names for end in ("", "_spread", "_excess")]
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["method", "kind", *heads, *(f"{p}{end}" for p in PAIRS for end in ("", "_spread")), *SINGLES])
    for row in rows:
        cells: list[float | None] = []
        for n in names:
            cells += [*_pair(row["triangular"][n]), _excess(row["triangular"][n])]
        for pair in PAIRS:
            cells += _pair(row[pair])
        cells += [row[single] for single in SINGLES]
        writer.writerow([row["name"], row["kind"] or "", *("" if c is None else f"{c:.6g}" for c in cells)])
    return buffer.getvalue()


def _pair(cell: Cell | None) -> tuple[float | None, float | None]:
    return (cell["value"], cell["spread"]) if cell else (None, None)


def _markdown(content: MethodsTable) -> str:
    names = content["observables"]
    head = ["", *names, "AUC", "JSD", "chi2 p", "refolded p", "yield", "ESS"]
    lines = [head, ["---"] * len(head)]
    for row in content["rows"]:
        cells = [_cell(row["triangular"].get(n)) for n in names]
        cells += [
            _cell(row["auc"]),
            _cell(row["jsd"]),
            _number(row["chi2_p"], "{:.2g}"),
            _number(row["refold_p"], "{:.2g}"),
            _cell(row["yield_ratio"]),
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
        part += [[m, *(_number(each.get(n), "{:z.3g}") for n in own)] for m, each in entry["triangular"].items()]
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
    for drawn in content["surrogates"]:
        areas = {
            "truth": (drawn["auc_truth"], drawn["floor_auc_truth"]),
            "reco": (drawn["auc_reco"], drawn["floor_auc_reco"]),
            "both": (drawn["auc_both"], drawn["floor_auc_both"]),
        }
        auc = ", ".join(f"{w} {_cell(found)} (floor {_cell(floor)})" for w, (found, floor) in areas.items())
        text += f"\nSurrogate {drawn['name']} against held-out simulation: AUC {auc}; flags: {drawn['flags']}.\n"
    for p in content["posteriors"]:
        low, high = min(p["ranks_spread"].values()), max(p["ranks_spread"].values())
        text += (
            f"\nPosteriors of {p['name']} on {p['used']} held-out events: smallest p of the ranks "
            f"{min(p['ranks_p'].values()):.2g}, of TARP {p['tarp_p']:.2g}; spread of the ranks "
            f"{low:.3f} to {high:.3f} of uniform ones"
        )
        text += f"; flags: {p['flags']}.\n" if p["conditional"] else "; it maps distributions and states none.\n"
    return text


def _verdicts(verdicts: Mapping[str, Verdict]) -> str:
    text = ""
    for name, found in verdicts.items():
        text += f"**{name}: {found['verdict']}**"
        text += ", judged without a truth\n" if found["without_truth"] else "\n"
        text += "".join(f"- {reason}\n" for reason in found["reasons"]) + "\n"
    return text


def _cell(entry: Cell | None) -> str:
    if not entry or entry["value"] is None:
        return "–"
    text, excess = measured(entry["value"], entry["spread"]), _excess(entry)
    return text if excess is None else f"{text} ({excess:+z.3g})"


def _number(value: float | None, style: str) -> str:
    return "–" if value is None else style.format(value)
