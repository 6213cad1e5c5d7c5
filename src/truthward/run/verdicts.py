"""The verdicts of a study in words, for the terminal at the end of a call. Reads what `validate` wrote."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from truthward.errors import TruthwardError
from truthward.records import read_record
from truthward.records.validate.method import ValidatedMethod


def lines(results: Path, methods: Iterable[str]) -> list[str]:
    """One line a method with its verdict, and under it one for each reason.

    A method that was unfolded again since its verdict, or whose file cannot be read, has none: it says why.
    """
    found = []
    for method in methods:
        path, unfolded = results / "validate" / f"{method}.json", results / "unfold" / method / "unfolded.parquet"
        if not path.is_file():
            found.append(f"{method}: no verdict yet")
            continue
        if not unfolded.is_file() or unfolded.stat().st_mtime > path.stat().st_mtime:
            found.append(f"{method}: no verdict on the present result; {path} belongs to an earlier one")
            continue
        try:
            verdict = read_record(path, ValidatedMethod)["verdict"]
            said = [f"{method}: {verdict['verdict']}", *(f"  - {reason}" for reason in verdict["reasons"])]
        except (TruthwardError, OSError) as error:
            said = [f"{method}: no verdict, {path} cannot be read ({type(error).__name__}: {error})"]
        found += said
    return found


def shown(results: Path, methods: Iterable[str]) -> str:
    """The text for the terminal; empty where nothing was unfolded yet."""
    methods = list(methods)
    if not any((results / "validate" / f"{method}.json").is_file() for method in methods):
        return ""
    return "\n".join(["", "Verdicts (good, warnings or failed), by method:", *lines(results, methods), ""])
