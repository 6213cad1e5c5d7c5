"""The log that Snakemake writes of a call: which jobs are planned, which were started, and what became of them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

PLANNED = re.compile(r"^Job stats:\n.*\n[- ]+\n((?:\w+ +\d+\n)+)", re.MULTILINE)
EVENT = re.compile(
    r"^(?P<indent> *)(?:(?:local)?rule (?P<rule>\w+):\n(?P<block>(?: +\w+: .*\n)+)"
    r"|Finished jobid: (?P<finished>\d+) "
    r"|Error in rule \w+:\n(?: .*\n)*? +jobid: (?P<failed>\d+)\n"
    r"|Job (?P<job>\S+) has been submitted with SLURM jobid (?P<single>\d+)"
    r"|Submitted array job with Snakemake IDs (?P<tasks>[\d,]+) and SLURM job ID (?P<array>\d+)\."
    r" The individual task IDs are (?P<first>\d+)-)",
    re.MULTILINE,
)


@dataclass
class Started:
    """A job that Snakemake started: its rule, its log, its id in SLURM, and its state."""

    rule: str
    log: str
    slurm: str = ""
    state: str = "running"  # or done, failed


def parse(text: str) -> tuple[Counter[str], dict[str, Started]]:
    """From the log of a call: the planned jobs of each rule, and the started jobs, each in its last attempt."""
    planned: Counter[str] = Counter()
    started: dict[str, Started] = {}
    table = PLANNED.search(text)
    for rule, count in (line.split() for line in (table[1].splitlines() if table else [])):
        if not rule.endswith(("all", "total")):
            planned[rule] = int(count)

    def note(job: str, name: str, value: str) -> None:
        if job in started:  # The id of a group is not the id of a job.
            setattr(started[job], name, value)

    for event in EVENT.finditer(text):
        if event["rule"]:
            if event["rule"] not in planned:
                continue  # A target that makes nothing.
            values = dict(line.strip().partition(": ")[::2] for line in event["block"].splitlines())
            slurm = "group" if event["indent"] else ""
            started[values["jobid"]] = Started(event["rule"], values.get("log", "").partition(" (")[0], slurm)
        elif event["tasks"]:
            for task, job in enumerate(event["tasks"].split(","), start=int(event["first"])):
                note(job, "slurm", f"{event['array']}_{task}")
        elif event["single"]:
            note(event["job"], "slurm", event["single"])
        else:
            note(event["finished"] or event["failed"], "state", "done" if event["finished"] else "failed")
    return planned, started
