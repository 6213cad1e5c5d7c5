"""How long the jobs of a call that are not done will take.

The log of a job says how many seconds it took. A job that is not done takes what others of its kind took: in this call,
or else in an earlier one, or else by the table `SECONDS`. Table and earlier calls may be of another machine or another
config, so they are scaled by what this call has measured. The jobs left are then dealt to the cores in the order of the
plan, as their inputs allow. Nobody knows how long jobs wait in the queue of a cluster.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

SECONDS: dict[str, float] = {
    "simulate": 50,
    "ingest": 2,
    "ingest_figures": 4,
    "calibrate": 20,
    "systematics": 30,
    "surrogate": 25,
    "validate_surrogate": 20,
    "amplify_study": 30,
    "amplify_draw": 3,
    "unfold_nominal": 10,
    "unfold_nominal/generative": 40,
    "unfold_posterior": 20,
    "unfold_part": 50,
    "unfold_part/generative": 240,
    "unfold_part/ibu": 5,
    "unfold_figures": 8,
    "refold_figures": 8,
    "unfold/generative": 30,
    "validate": 30,
    "validate/generative": 80,
    "publish": 12,
    "stress": 60,
}
"""Rule, or rule and method -> seconds of one job of the default study on one core. Others take `FEW`."""
FEW, START = 3.0, 2.0
"""Seconds of a job that the table does not have, and those in which any job starts, which its own log cannot know."""
TRUSTED = 30.0
"""Seconds of measured jobs from which on they say more of the scale than the table does."""
DONE = re.compile(r" rule \w+ is done: ([0-9.]+) s")
TAIL = 300
"""Bytes at the end of a job's log that hold its last line."""


@dataclass(frozen=True)
class Planned:
    """A job of the plan: its log, the names of those it waits for, and the cores that it takes."""

    log: Path
    needs: tuple[str, ...] = ()
    cores: int = 1

    @property
    def name(self) -> str:
        return name_of(self.log)


def name_of(log: str | Path) -> str:
    """The name of a job, from the path of its log.

    >>> name_of("results/zjets/logs/unfold_part/omnifold.0.log")
    'unfold_part/omnifold.0'
    """
    return str(log).rpartition("/logs/")[2].removesuffix(".log")


def kind_of(name: str) -> str:
    """What a job shares with the other chunks, or parts, of the same thing.

    >>> kind_of("unfold_part/omnifold.0"), kind_of("calibrate")
    ('unfold_part/omnifold', 'calibrate')
    """
    return re.sub(r"\.\d+$", "", name)


def taken(log: Path) -> float | None:
    """Seconds that a job took, from the last line of its log; None where it is not done or says nothing."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            found = DONE.search(file.read().decode("utf-8", errors="replace"))
    except OSError:
        return None
    return float(found[1]) if found else None


def by_table(name: str) -> float:
    """Seconds of a job by the table."""
    return SECONDS.get(kind_of(name), SECONDS.get(name.partition("/")[0], FEW))


def estimates(before: Mapping[str, float], measured: Mapping[str, float]) -> dict[str, float]:
    """Seconds of each job of `before`, as estimated there, by what was measured of the jobs in `measured`.

    A job takes the mean of the measured ones of its kind. Where there are none, its estimate is scaled by what all
    measured jobs took over what had been estimated for them.
    """
    kinds: dict[str, list[float]] = {}
    for name, seconds in measured.items():
        kinds.setdefault(kind_of(name), []).append(seconds)
    known = sum(before.get(name, by_table(name)) for name in measured)
    scale = (sum(measured.values()) + TRUSTED) / (known + TRUSTED)
    return {n: mean(kinds[kind_of(n)]) if kind_of(n) in kinds else seconds * scale for n, seconds in before.items()}


def schedule(
    jobs: Iterable[Planned], left: Mapping[str, float], running: Iterable[str], slots: int
) -> tuple[float, list[str]]:
    """Deal the jobs left to `slots` cores, in the order of the plan.

    Args:
        jobs: the plan.
        left: seconds that are left of each job that is not done.
        running: jobs of these that run already.

    Returns:
        Seconds until the last one ends, and the names of the others in the order in which they start.
    """
    todo = {job.name: job for job in jobs if job.name in left}
    place = {name: i for i, name in enumerate(todo)}
    missing = {name: {need for need in job.needs if need in todo} for name, job in todo.items()}
    waiting: dict[str, list[str]] = {}
    for name, needs in missing.items():
        for need in needs:
            waiting.setdefault(need, []).append(name)
    ends = [(left[name], name) for name in running]
    ready = [place[name] for name, needs in missing.items() if not needs and name not in set(running)]
    heapq.heapify(ends)
    heapq.heapify(ready)
    names, now = list(todo), 0.0
    starts: list[str] = []
    free = slots - sum(todo[name].cores for _, name in ends)
    while ends or ready:
        # A job that asks for more cores than there are gets all of them.
        while ready and (not ends or todo[names[ready[0]]].cores <= free):
            name = names[heapq.heappop(ready)]
            starts.append(name)
            free -= todo[name].cores
            heapq.heappush(ends, (now + left[name], name))
        now, over = heapq.heappop(ends)
        free += todo[over].cores
        for name in waiting.get(over, ()):
            missing[name].remove(over)
            if not missing[name]:
                heapq.heappush(ready, place[name])
    return now, starts


def in_words(seconds: float) -> str:
    """A rough duration.

    >>> in_words(20), in_words(500), in_words(4000), in_words(40000)
    ('less than a minute remains', 'about 8 min remain', 'about 65 min remain', 'about 11 h remain')
    """
    minutes = seconds / 60
    if minutes < 1:
        return "less than a minute remains"
    if minutes < 20:
        return f"about {minutes:.0f} min remain"
    return f"about {5 * round(minutes / 5)} min remain" if minutes < 120 else f"about {minutes / 60:.0f} h remain"
