"""The table of the stress suite: the verdict on each method, and the verdict from refolding only."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from truthward.errors import InputError
from truthward.records import read_record
from truthward.records.validate.stress import Stressed, StressedScenario, StressRow, StressTable
from truthward.run.artefact import write_json, write_text
from truthward.run.provenance import Record
from truthward.study.numbers import measured
from truthward.validate.stress.scenarios import MISMATCH, QUESTIONS
from truthward.validate.stress.verdict import BINS, GROWTH, INSIDE, SIGMAS

NOTE = f"""\
Pseudo-data of known truth are made from one half of the simulation and unfolded with the other. Truth: significance of
the largest chi2 between unfolded and true contents over the observables (at most {BINS} bins of equal population, all
families of replicas, Bonferroni); a method passes within {SIGMAS:g} sigma, starvation only if its uncertainties also
grow by at least {GROWTH:g} / sqrt(share of events kept) and hold the truth in {INSIDE:.0%} of the bins. Refolding: the
same at reco level, and what it would have said by itself. Largest pull: of any bin. Triangular: discriminator
(arXiv:2503.09720) against the truth, mean over observables, of the simulation before and of the result after.
"""
FIELDS = ("truth_sigma", "refold_sigma", "largest_pull", "inside", "growth", "triangular_before", "triangular_after")


def summarise(
    stressed: Mapping[str, str | Path],
    *,
    output_json: str | Path,
    output_csv: str | Path,
    output_md: str | Path,
    record: Record,
) -> StressTable:
    """Write the table of all scenarios and methods as JSON, CSV and Markdown.

    Args:
        stressed: method -> its JSON from `stress.stage.stress`, in the order of the rows.

    Returns:
        {rows: [{scenario, note, method, verdict, refolding, missed, words, and FIELDS}...], conclusions: [text...],
        provenance}; verdict and refolding are "pass", "fail" or None.
    """
    if not stressed:
        raise InputError("no method was stressed; run the stress of at least one")
    found = {name: read_record(path, Stressed) for name, path in stressed.items()}
    rows = [
        _row(method, entry)
        for scenario in QUESTIONS
        for method, content in found.items()
        for entry in content["scenarios"]
        if entry["name"] == scenario
    ]
    table: StressTable = {
        "rows": rows,
        "conclusions": conclusions(rows),
        "provenance": record.finish(events_in=len(found), events_out=len(rows)),
    }
    write_json(output_json, table)
    write_text(output_csv, _csv(rows))
    write_text(output_md, _markdown(table))
    return table


def conclusions(rows: Sequence[StressRow]) -> list[str]:
    """Which scenarios each method passes, and the result of the scenario that was built to fail, in words."""
    lines = []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method and row["verdict"]]
        each = {v: [_name(r["scenario"]) for r in own if r["verdict"] == v] for v in ("pass", "fail")}
        lines.append(f"{method} passes {_list(each['pass'])}; fails {_list(each['fail'])}.")
    built = [row for row in rows if row["scenario"] == MISMATCH and row["verdict"]]
    if missed := [row["method"] for row in built if row["missed"]]:
        note = built[0]["note"]
        lines.append(
            f"Response mismatch ({note}), built to fail: the result of {_list(missed)} passes the test at reco level "
            f"while its truth is wrong by more than {SIGMAS:g} sigma: "
            "reco-level agreement cannot certify the particle level."
        )
    elif built:
        lines.append(
            "Response mismatch, built to fail: no method had a wrong truth that refolding accepts; the sample is too "
            "small, or the mismatch too gross, to show more."
        )
    return lines


def _row(method: str, entry: StressedScenario) -> StressRow:
    if (found := entry["verdict"]) is None:
        return {
            "scenario": entry["name"],
            "note": entry["note"],
            "method": method,
            "verdict": None,
            "refolding": None,
            "missed": False,
            "words": f"skipped: {entry['skipped']}",
            "truth_sigma": None,
            "refold_sigma": None,
            "largest_pull": None,
            "inside": None,
            "growth": None,
            "triangular_before": None,
            "triangular_after": None,
        }
    return {
        "scenario": entry["name"],
        "note": entry["note"],
        "method": method,
        "verdict": _word(found["passes"]),
        "refolding": _word(found["refold_passes"]),
        "missed": found["missed"],
        "words": found["words"],
        "truth_sigma": found["truth"]["sigma"],
        "refold_sigma": found["refold"]["sigma"],
        "largest_pull": found["largest_pull"],
        "inside": found["inside"],
        "growth": found["growth"],
        "triangular_before": found["triangular"]["before"],
        "triangular_after": found["triangular"]["after"],
    }


def _word(passes: bool | None) -> Literal["pass", "fail"] | None:
    return None if passes is None else ("pass" if passes else "fail")


def _name(scenario: str) -> str:
    return scenario.replace("_", " ")


def _list(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _csv(rows: Sequence[Mapping[str, object]]) -> str:
    buffer = io.StringIO()
    heads = ["scenario", "note", "method", "verdict", "refolding", *FIELDS, "words"]
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(heads)
    for row in rows:
        writer.writerow(["" if (v := row[h]) is None else f"{v:.6g}" if isinstance(v, float) else v for h in heads])
    return buffer.getvalue()


def _markdown(content: StressTable) -> str:
    head = [
        "scenario",
        "method",
        "verdict",
        "refolding alone",
        "truth off by",
        "refolding off by",
        "largest pull",
        "bins within 1 σ",
        "uncertainties grow by",
        "triangular before → after",
    ]
    lines = [head, ["---"] * len(head)]
    for row in content["rows"]:
        if row["verdict"] is None:
            lines.append([_name(row["scenario"]), row["method"], row["words"], *["–"] * (len(head) - 3)])
            continue
        pair = row["triangular_before"], row["triangular_after"]
        after = " → ".join("–" if value is None else measured(value) for value in pair)
        lines.append(
            [
                _name(row["scenario"]),
                row["method"],
                f"**{row['verdict']}**",
                row["refolding"] or "–",
                _number(row["truth_sigma"], " σ"),
                _number(row["refold_sigma"], " σ"),
                _number(row["largest_pull"]),
                f"{row['inside']:.0%}",
                _number(row["growth"]),
                after,
            ]
        )
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n\n"
    return text + "\n".join(content["conclusions"]) + f"\n\n{NOTE}"


def _number(value: float | None, unit: str = "") -> str:
    return "–" if value is None else f"{value:z.1f}{unit}"
