"""Runs cases one after another in a process of its own, within limits; says on standard output what became of each.

    python worker.py <folder> <seed> <memory MB> <seconds> < plan

A line of the plan is `<target>\t<number>`; a line of the answer `begin`, then `<outcome>\t<kind of damage>\t<detail>`.
"""

from __future__ import annotations

import logging
import resource
import shutil
import signal
import sys
import traceback
import warnings
from pathlib import Path

from mutate import damaged
from readers import TARGETS, Target, digest

from truthward.errors import TruthwardError

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")


class Case:
    """An intact file of one target with what it says, to be damaged again and again."""

    def __init__(self, target: Target, folder: Path) -> None:
        self.target = target
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.path = target.make(folder)
        self.whole = self.path.read_bytes()
        self.right, again = self._read(self.whole), self._read(self.whole)
        if again != self.right:
            raise AssertionError(f"{target.name}: two readings of the intact file differ")

    def _read(self, data: bytes) -> str:
        self.path.write_bytes(data)
        return digest(self.target.read(self.path))

    def run(self, seed: str, number: int) -> tuple[str, str, str]:
        """(outcome, kind of damage, detail) of one case."""
        kind, data = damaged(self.whole, f"{seed}:{self.target.name}:{number}")
        try:
            found = self._read(data)
        except TruthwardError as error:
            return "typed error", kind, f"{type(error).__name__}: {error}"
        except Exception as error:  # noqa: BLE001 -- what else comes out is the finding
            at = [f for f in traceback.extract_tb(error.__traceback__) if "truthward" in f.filename][-1]
            place = f"{Path(at.filename).name}:{at.lineno}"
            return "other", kind, f"{type(error).__name__} at {place}: {error}"
        return ("right result" if found == self.right else "altered"), kind, ""


def main(folder: Path, seed: str, memory: int, seconds: int) -> None:
    targets = {target.name: target for target in TARGETS}
    case: Case | None = None
    out = sys.stdout
    for line in sys.stdin:
        name, number = line.rstrip("\n").split("\t")
        if case is None or case.target.name != name:
            case = Case(targets[name], folder)
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + memory * 2**20, resource.RLIM_INFINITY))
        print("begin", flush=True, file=out)
        # Its default action ends the process, be it inside of a library's own loop.
        signal.alarm(seconds)
        outcome, kind, detail = case.run(seed, int(number))
        signal.alarm(0)
        print(outcome, kind, " ".join(detail.split()), sep="\t", flush=True, file=out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
