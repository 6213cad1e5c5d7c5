"""How far a call of Snakemake is, in one line now and then: what runs, what is next, and how long the rest takes."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from truthward.run.call import parse
from truthward.run.forecast import START, Planned, by_table, estimates, in_words, name_of, schedule, taken

LOOK, FIRST, SHARE = 5.0, 30.0, 0.05
"""Seconds between two looks; seconds between two lines, at least; and as a share of the time since the start."""
KEPT = "progress.txt"
"""Name of the file that keeps the lines of the last call."""


class Progress:
    """The state of a call, look by look.

    Args:
        jobs: the plan, in an order in which it can run.
        logs: folder of the jobs' logs, where those of earlier calls are still.
        slots: cores, or jobs at once on a cluster.
        queued: whether jobs wait in the queue of a cluster.
        now: seconds since the epoch at the start of the call.
    """

    def __init__(self, jobs: list[Planned], logs: Path, *, slots: int, queued: bool, now: float) -> None:
        self.jobs, self.slots, self.queued, self.start = jobs, slots, queued, now
        earlier = {name_of(log): seconds for log in logs.rglob("*.log") if (seconds := taken(log)) is not None}
        self.before = estimates({job.name: by_table(job.name) for job in jobs}, earlier)
        self.measured: dict[str, float] = {}
        self.begun: dict[str, float] = {}
        self.states: dict[str, str] = {}

    def look(self, call: str, now: float) -> None:
        """Take in the log of the call, and the logs of jobs that began or are done since the last look."""
        found = {name_of(job.log): job.state for job in parse(call)[1].values()}
        self.states = {job.name: found[job.name] for job in self.jobs if job.name in found}
        for job in self.jobs:
            state = self.states.get(job.name)
            if state == "done" and job.name not in self.measured and (seconds := taken(job.log)) is not None:
                self.measured[job.name] = seconds
            # A job empties its log when it begins; on a cluster that is long after it was submitted.
            if state != "running":
                self.begun.pop(job.name, None)
            elif job.name not in self.begun and job.log.is_file() and job.log.stat().st_mtime >= self.start:
                self.begun[job.name] = now

    @property
    def over(self) -> bool:
        """Whether all jobs are done."""
        return all(self.states.get(job.name) == "done" for job in self.jobs)

    def remaining(self, now: float) -> tuple[float, list[str]]:
        """Seconds until the last job ends, and the jobs that do not run yet in the order in which they start."""
        seconds = estimates(self.before, self.measured)
        left = {}
        for job in self.jobs:
            if self.states.get(job.name) != "done":
                since = now - self.begun[job.name] if job.name in self.begun else -START
                left[job.name] = max(seconds[job.name] - since, seconds[job.name] / 10)
        return schedule(self.jobs, left, self.begun, self.slots)

    def line(self, now: float) -> str:
        """`[12:03] 14 of 61 jobs done, 1 running (validate ibu), next: publish; about 9 min remain`."""
        count = Counter(self.states.values())
        parts = [f"{count['done']} of {len(self.jobs)} jobs done"]
        if self.begun:
            shown = [name.replace("/", " ") for name in self.begun][:3]
            more = [f"{len(self.begun) - len(shown)} more"] if len(self.begun) > len(shown) else []
            parts.append(f"{len(self.begun)} running ({', '.join(shown + more)})")
        if submitted := count["running"] - len(self.begun):
            parts.append(f"{submitted} submitted")
        if count["failed"]:
            parts.append(f"{count['failed']} failed")
        seconds, starts = self.remaining(now)
        rules = dict.fromkeys(name.partition("/")[0] for name in starts if name not in self.states)
        if rules:
            parts.append(f"next: {', '.join(list(rules)[:2])}")
        wait = ", without waits in the queue" if self.queued else ""
        end = "" if self.over else f"; {in_words(seconds)}{wait}"
        return f"[{time.strftime('%H:%M', time.localtime(now))}] {', '.join(parts)}{end}"


def plan(dag: Any) -> list[Planned]:
    """The jobs of Snakemake's plan that make something, in an order in which they can run."""
    logs = {job: Path(job.log[0]) for job in dag.needrun_jobs() if job.log}
    return [
        Planned(
            log=logs[job],
            needs=tuple(name_of(logs[need]) for need in dag.dependencies[job] if need in logs),
            cores=job.threads,
        )
        for level in dag.toposorted(set(logs))
        for job in sorted(level, key=lambda job: str(logs[job]))
    ]


def follow(workflow: Any, call: Sequence[str], logs: Path) -> threading.Thread | None:
    """Say how far a call is until it ends: on the terminal or what stands for it, and in the file `logs`/KEPT.

    Args:
        workflow: Snakemake's, with its plan made.
        call: the log that Snakemake writes of the call, if it writes one.
        logs: folder of the jobs' logs.

    Returns:
        The thread that does it, or None where there is no log to go by.
    """
    if not call:
        return None
    nodes, now = workflow.nodes, time.time()
    progress = Progress(plan(workflow.dag), logs, slots=nodes or workflow.cores, queued=bool(nodes), now=now)
    logs.mkdir(parents=True, exist_ok=True)
    (logs / KEPT).write_text("", encoding="utf-8")

    def work() -> None:
        due = 0.0
        while not progress.over:
            now = time.time()
            progress.look(Path(call[0]).read_text(encoding="utf-8", errors="replace"), now)
            if now >= due:
                line = progress.line(now)
                print(line, file=sys.stderr, flush=True)
                with (logs / KEPT).open("a", encoding="utf-8") as file:
                    file.write(f"{line}\n")
                due = now + max(FIRST, SHARE * (now - progress.start))
            time.sleep(LOOK)

    # A daemon: it never keeps a call from ending.
    thread = threading.Thread(target=work, name="progress", daemon=True)
    thread.start()
    return thread
