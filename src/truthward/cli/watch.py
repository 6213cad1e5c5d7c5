"""`truthward watch [results/<study>]`: show the progress of a run in a terminal, on a laptop or a cluster.

It reads the log of Snakemake's last call for the study (`.snakemake/log`), the logs of the jobs
(`results/<study>/logs`) and, if it exists, `squeue`. It writes nothing, so several people can watch at the same time.
"""

from __future__ import annotations

import select
import shutil
import subprocess
import sys
import termios
import time
import tty
from collections import Counter
from pathlib import Path

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from truthward.errors import InputError
from truthward.run.call import parse
from truthward.run.progress import KEPT

TAIL = 4096  # bytes at the end of a job's log that contain its last line


def last_call(results: Path) -> str:
    """The log of Snakemake's last call that names the results of the study, or an empty text."""
    logs = results.parent.parent / ".snakemake" / "log"
    for path in sorted(logs.glob("*.snakemake.log"), reverse=True):
        text = path.read_text(encoding="utf-8", errors="replace")
        if f"{results.parent.name}/{results.name}/" in text:
            return text
    return ""


def queue() -> dict[str, str]:
    """State and place of this user's SLURM jobs, by id; empty if there is no SLURM or it does not answer."""
    if shutil.which("squeue") is None:
        return {}
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i|%T %P %R"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except subprocess.TimeoutExpired:
        return {}
    return dict(line.split("|", 1) for line in done.stdout.splitlines())


def last_line(log: Path) -> tuple[str, float]:
    """Last line of a job's log, only its printable characters, and the seconds since it was written."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            lines = file.read().decode("utf-8", errors="replace").split("\n")
        age = time.time() - log.stat().st_mtime
    except OSError:
        return "", 0.0
    last = next((line for line in reversed(lines) if line.strip()), "")
    return "".join(c for c in last.rpartition("\r")[2] if c.isprintable()), age


def view(results: Path) -> Group:
    """The overall progress, the state of each rule, and the last message of each running job."""
    (planned, started), slurm = parse(last_call(results)), queue()
    waiting = {job for job, s in started.items() if slurm.get(s.slurm, "").startswith("PENDING")}
    states: dict[str, Counter[str]] = {rule: Counter() for rule in planned}
    for job, s in started.items():
        states.setdefault(s.rule, Counter())["queued" if job in waiting else s.state] += 1
    columns = ("done", "running", "queued", "failed")
    rules = Table("rule", *columns, "to come", box=box.SIMPLE_HEAD)
    rest: dict[str, list[str]] = {"finished": [], "to come": []}
    for rule, found in states.items():
        if found and found["done"] < planned[rule]:
            rules.add_row(rule, *(str(found[c] or "·") for c in columns), str(planned[rule] - found.total() or "·"))
        else:
            rest["finished" if found else "to come"].append(f"{rule} {planned[rule]}")
    jobs = Table("job", "where", "silent", "last line of its log", box=box.SIMPLE_HEAD)
    for job, s in started.items():
        if s.state == "running" and job not in waiting:
            line, age = last_line(results.parent.parent / s.log)
            name = s.log.partition("/logs/")[2].removesuffix(".log")
            where = f"{s.slurm} {slurm.get(s.slurm, '')}".strip() or "here"
            jobs.add_row(
                *(Text(cell, no_wrap=True, overflow="ellipsis") for cell in (name, where, f"{age:.0f} s", line))
            )
    total, done = planned.total(), sum(s["done"] for s in states.values())
    if not total:
        return Group(Text(f"{results.name}: no call of Snakemake has planned anything here"))
    head = Text(f"{results.name}: {done} of {total} jobs are done", style="bold")
    # What the call itself said last, with the time that the rest will take.
    said = last_line(results / "logs" / KEPT)[0]
    tables = [table for table in (rules, jobs) if table.row_count]
    lines = [Text(f"{name}: {', '.join(found)}", style="dim") for name, found in rest.items() if found]
    lines += [Text(said)] if said and done < total else []
    return Group(head, ProgressBar(total=total, completed=done), *tables, *lines)


def last_changed(folder: Path = Path("results")) -> Path:
    """The results of the study that ran last.

    Raises:
        InputError: there are none.
    """
    if not (studies := [path for path in folder.glob("*/") if path.is_dir()]):
        raise InputError(f"{folder}/: there is no study here; give the folder of a study, such as {folder}/zjets")
    return max(studies, key=lambda path: max(p.stat().st_mtime for p in (path, *path.glob("logs/*"))))


def run(results: Path | None, *, once: bool = False, seconds: float = 3.0) -> int:
    """Show until q or Ctrl-C, or once.

    Raises:
        InputError: there is no such folder.
    """
    results = results or last_changed()
    if not results.is_dir():
        raise InputError(f"{results}: no such folder; give the folder results/<study> of a study that was started")
    results = results.resolve()
    if once:
        Console().print(view(results))
        return 0
    terminal = termios.tcgetattr(sys.stdin) if sys.stdin.isatty() else None
    try:
        if terminal:
            tty.setcbreak(sys.stdin)
        with Live(view(results), auto_refresh=False, screen=True) as live:
            while True:
                pressed = select.select([sys.stdin] if terminal else [], [], [], seconds)[0]
                if pressed and sys.stdin.read(1) == "q":
                    return 0
                live.update(view(results), refresh=True)
    except KeyboardInterrupt:
        return 0
    finally:
        if terminal:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, terminal)
