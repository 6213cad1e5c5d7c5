"""`python -m truthward.doctor [config.yaml]`: exits with 1 and one line for each thing that is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from truthward import checks, environment
from truthward.doctor import machine, plan, probes
from truthward.errors import TruthwardError


def table(title: str, *columns: str) -> Table:
    """A table without vertical lines, so that narrow terminals show it whole."""
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        number = column in ("s", "first", "again")
        made.add_column(column, justify="right" if number else "left", no_wrap=number, overflow="fold")
    return made


def show_machine(console: Console, results: Path) -> None:
    """Devices and disk."""
    shown = table("Machine", "", "")
    shown.show_header = False
    for row in machine.devices(results):
        shown.add_row(*row)
    console.print(shown)


def show_packages(console: Console) -> list[str]:
    """Installed versions against the lock; what differs, as problems where a stage could import it."""
    locked = environment.pins()
    wrong = environment.differing(locked)
    if not wrong:
        console.print(f"Packages: all {len(locked)} as envs/requirements.lock has them.\n")
        return []
    shown = table(f"Packages: {len(wrong)} of {len(locked)} are not as in the lock", "package", "installed", "locked")
    for name, (installed, version) in wrong.items():
        shown.add_row(name, installed or "(none)", version)
    console.print(shown)
    return [f"StaleError: {environment.difference_said(wrong)}"]


def show_methods(console: Console, config: checks.Config | None) -> list[str]:
    """Every plug-in, built and called."""
    shown = table("Methods", "kind", "in the config", "s", "seen")
    problems = []
    for entry in probes.entries(config):
        done = probes.probe(*entry)
        problems += [done.error] if done.error else []
        shown.add_row(done.kind, done.where or "-", f"{done.seconds:.1f}", done.said or "failed")
    console.print(shown)
    return problems


def show_plan(console: Console, config: Path) -> None:
    """Jobs by rule, and why they would run."""
    found = plan.parse(plan.dry_run(config))
    if not found:
        console.print("Plan: nothing is to be done.\n")
        return
    first, again = sum(p.first for p in found.values()), sum(p.again for p in found.values())
    shown = table(f"Plan: {first} jobs for the first time, {again} again", "rule", "first", "again", "why")
    for rule, planned in found.items():
        shown.add_row(rule, str(planned.first or ""), str(planned.again or ""), why(planned))
    console.print(shown)


def why(planned: plan.Planned) -> str:
    """Reasons, own ones before those that follow from other rules; with the jobs that have it where not all do."""
    jobs = planned.first + planned.again
    ordered = sorted(planned.why.items(), key=lambda item: (item[0].startswith("after "), -item[1], item[0]))
    return "; ".join(reason if count == jobs else f"{reason} ({count})" for reason, count in ordered)


def main(path: Path) -> int:
    """Show all, then what is wrong.

    Returns:
        0, or 1 where something is.
    """
    console = Console(markup=False, highlight=False)
    console.print(f"truthward, study {path}\n")
    problems: list[str] = []
    config = None
    try:
        config = checks.load(path)
    except TruthwardError as error:
        problems.append(f"{type(error).__name__}: {error}")
    show_machine(console, Path("results"))
    problems += show_packages(console)
    problems += show_methods(console, config)
    if config is not None:
        try:
            show_plan(console, path)
        except TruthwardError as error:
            problems.append(f"{type(error).__name__}: {error}")
    for problem in problems:
        console.print(problem, style="bold red", soft_wrap=True)
    if not problems:
        console.print("Nothing is wrong.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "config.yaml")))
