"""`truthward inspect FILE [...]`: show what is in files of events, and what the first lines of a map could be."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from truthward.ingest.inspection import Branch, Inspected, inspect
from truthward.run.files import File, expand

EVENTS = 2000
"""Events that are read of each tree."""
MOST = 40
"""Lines of a table, unless more are asked for."""


def run(files: Sequence[str], match: str, every: bool) -> int:
    """Show the first file; of the others, show what differs.

    Args:
        match: part of the names of the branches that are listed. every: list all branches and not groups of them.

    Raises:
        InputError: a file that cannot be read.
    """
    console = Console(markup=False, highlight=False)
    paths = expand(files)
    first = look(console, paths[0])
    # The events are in the tree with the most branches; of metadata beside it, a line is enough.
    for tree in sorted(first, key=lambda tree: (not tree.formats, -len(tree.branches))):
        show(console, tree, match, every, whole=bool(match) or len(tree.branches) > 10 or tree is first[0])
    for path in paths[1:]:
        others = {tree.tree: tree for tree in look(console, path)}
        for tree in first:
            console.print(compared(tree, others.get(tree.tree), path))
    return 0


def look(console: Console, path: File) -> list[Inspected]:
    """Look into a file, with a progress bar where the output is a terminal."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(path.name, total=None)
        return inspect(path, EVENTS, lambda name: bar.update(task, description=f"{path.name}: {name}", advance=1))


def compared(tree: Inspected, other: Inspected | None, path: File) -> str:
    """What another file has that the first one lacks, in one line."""
    if other is None:
        return f"{path.name}: has no tree {tree.tree}"
    mine, theirs = ({b.name for b in each.branches} for each in (tree, other))
    said = [f"lacks {_shown(sorted(mine - theirs))}"] if mine - theirs else []
    said += [f"has also {_shown(sorted(theirs - mine))}"] if theirs - mine else []
    return f"{path.name}, {tree.tree}: {other.entries:,} entries; {'; '.join(said) or 'the same branches'}"


def show(console: Console, tree: Inspected, match: str, every: bool, whole: bool) -> None:
    """Show one tree, its first line alone if it is not shown as a `whole`."""
    title = f"{tree.path.name}: tree {tree.tree}, {tree.entries:,} entries, {len(tree.branches)} branches"
    console.print(title, style="bold")
    if not tree.entries or not whole:
        return
    chosen = [b for b in tree.branches if match.lower() in b.name.lower()]
    if not chosen:
        return
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("branch", "type", "lowest", "median", "highest", "odd"):
        number = column in ("lowest", "median", "highest")
        table.add_column(column, justify="right" if number else "left", no_wrap=column == "branch" or number)
    every = every or bool(match) or len(chosen) <= MOST
    rows = [row(branch) for branch in chosen] if every else grouped(chosen)
    for each in rows if every else rows[:MOST]:
        table.add_row(*each)
    console.print(table)
    if len(rows) > MOST and not every:
        console.print(f"  {len(rows) - MOST} more; --all lists every branch, --match pt those with pt in their names")
    console.print("\n".join(said(tree)) + "\n")


def row(branch: Branch) -> tuple[str, ...]:
    """A branch as a line of the table."""
    kind = branch.type if branch.kind != "list" else f"{branch.type}, {branch.length:.3g} per event"
    return branch.name, kind, *(_number(v) for v in (branch.low, branch.middle, branch.high)), branch.odd


def grouped(branches: Sequence[Branch]) -> list[tuple[str, ...]]:
    """Lines of a table in which branches with a common beginning, the fields of a collection, are one line.

    Numbers of elements, such as nJet and Jet_size, are left out: they stand beside the lists.
    """
    groups: dict[str, list[Branch]] = {}
    heads, lists = {_head(b.name) for b in branches}, {b.name for b in branches if b.kind == "list"}
    for branch in branches:
        counted = branch.name[1:] if branch.name.startswith("n") else branch.name.removesuffix("_size")
        if counted == branch.name or not {counted, f"{counted}_", f"{counted}."} & (heads | lists):
            groups.setdefault(_head(branch.name), []).append(branch)
    rows = []
    for name, members in groups.items():
        if len(members) < 4 or not name:
            rows += [row(member) for member in members]
        else:
            long = [member.length for member in members if member.kind == "list"]
            kind = f"{len(long)} lists, {long[0]:.3g} per event" if long else f"{len(members)} numbers"
            inside = ", ".join(b.name[len(name) :] for b in members[:6]) + (", ..." if len(members) > 6 else "")
            rows.append((f"{name}*", kind, "", "", "", inside))
    return sorted(rows, key=lambda line: not line[0].endswith("*")) if len(rows) > MOST else rows


def _head(name: str) -> str:
    """Beginning of a name, up to its first dot or underscore; empty where it has none."""
    found = re.match(r"[^._]+[._]", name)
    return found[0] if found else ""


def said(tree: Inspected) -> list[str]:
    """Formats, weights, event numbers and pairs in words, and the way on."""
    lines = []
    if tree.formats:
        lines.append(f"Format: {tree.formats[0]}; begin a reader with `preset: {tree.formats[0]}`")
    if tree.numbers:
        lines.append("Event numbers: " + ", ".join(f"{column}: {name}" for column, name in tree.numbers.items()))
    if tree.weights:
        lines.append(f"Weights, perhaps: {_shown(tree.weights)}")
    if tree.pairs:
        lines.append("Truth and reco, perhaps:")
        for name, truth, reco, together in tree.pairs[:12]:
            close = "" if math.isnan(together) else f"    (rank correlation {together:.2f})"
            lines.append(f"  truth_{name}: {truth}    reco_{name}: {reco}{close}")
    return lines


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4g}"
