"""`truthward check [CONFIG]`: exits with 1 and one line on stderr for each problem."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from truthward import __version__
from truthward.cli.check import first_look, machine, plan, probes
from truthward.errors import TruthwardError
from truthward.run import digests, environment, workflow
from truthward.run.provenance import Record
from truthward.study.config import Config
from truthward.study.notes import notes


def show(console: Console, title: str, columns: list[str], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table without vertical lines; only the last column is broken into lines."""
    made = Table(box=box.SIMPLE_HEAD, show_header=any(columns))
    for column in columns:
        number = column in ("s", "new", "again")
        made.add_column(column, justify="right" if number else "left", no_wrap=column != columns[-1])
    for row in rows:
        made.add_row(*row)
    console.print(title, style="bold")
    console.print(made)


def show_packages(console: Console, config: Config) -> list[str]:
    """Compare installed versions with the lock; a problem if a stage would refuse to run with them."""
    locked = environment.used()
    wrong = environment.differing(locked)
    if wrong:
        rows = [(name, version, installed or "(none)") for name, (installed, version) in wrong.items()]
        show(console, f"Packages: {len(wrong)} of {len(locked)} not as in the lock", ["", "locked", "installed"], rows)
    else:
        console.print(f"Packages: all {len(locked)} as in the lock\n", style="bold")
    kinds = [(package, entry["kind"]) for _, package, entry in probes.entries(config)]
    files = {
        file
        for adapter in (workflow.home() / "workflow/scripts").glob("*.py")
        for file in digests.reached(adapter, kinds)
    }
    try:
        environment.check_installed(digests.foreign(tuple(sorted(files))))
    except TruthwardError as error:
        return [f"{type(error).__name__}: {error}"]
    return []


def show_methods(console: Console, config: Config) -> list[str]:
    """Build and call every plug-in of the config, and show the results."""
    done = [probes.probe(*entry) for entry in probes.entries(config)]
    rows = [(p.kind, p.where, f"{p.seconds:.1f}", p.said or "failed") for p in done]
    show(console, "What the config names, each tried once", ["kind", "where", "s", "result"], rows)
    return [p.error for p in done if p.error]


def show_first(console: Console, config: Config) -> list[str]:
    """Read the first events of the samples whose files are here, and show what becomes of them."""
    rows, figures, problems = first_look.look(config, Record("check", {}, "", config.seed))
    if rows:
        show(console, f"The first {first_look.EVENTS} events, accepted at each level", list(first_look.HEADS), rows)
    for figure in figures:
        console.print(f"  {figure}")
    return problems


def show_plan(console: Console, config: Path) -> None:
    """Show the jobs of each rule, and why they would run."""
    found = plan.parse(plan.dry_run(config))
    if not found:
        console.print("Plan: nothing is to be done\n", style="bold")
        return
    new, again = sum(p.new for p in found.values()), sum(p.again for p in found.values())
    rows = [(rule, str(p.new or ""), str(p.again or ""), why(p)) for rule, p in found.items()]
    show(console, f"Plan: {new} new jobs, {again} to run again", ["rule", "new", "again", "why"], rows)


def why(planned: plan.Planned) -> str:
    """Reasons, first the rule's own and then those from other rules; with their number of jobs if not all have them."""
    jobs = planned.new + planned.again
    ordered = sorted(planned.why.items(), key=lambda item: (item[0].startswith("after "), -item[1], item[0]))
    return "; ".join(reason if count == jobs else f"{reason} ({count})" for reason, count in ordered)


def run(path: Path, config: Config) -> int:
    """Show everything, then the problems.

    Returns:
        0, or 1 if there is a problem.
    """
    console = Console(markup=False, highlight=False)
    console.print(f"truthward {__version__}, {path}\n", style="bold")
    show(console, "Machine", ["", ""], machine.devices(Path("results")))
    problems = show_packages(console, config) + show_methods(console, config)
    said = notes(config)
    if Path("Snakefile").is_file() and (other := workflow.changed(Path())):
        listed = ", ".join(other[:5]) + (", ..." if len(other) > 5 else "")
        said.append(f"{len(other)} files of the workflow here are not as in truthward {__version__}: {listed}")
    if said:
        show(console, "To be known before the run", [""], [(note,) for note in said])
    problems += show_first(console, config)
    try:
        show_plan(console, path)
    except TruthwardError as error:
        problems.append(f"{type(error).__name__}: {error}")
    for problem in problems:
        Console(stderr=True, markup=False, highlight=False).print(problem, style="bold red", soft_wrap=True)
    if not problems:
        console.print("Nothing is wrong", style="bold green")
    return 1 if problems else 0
