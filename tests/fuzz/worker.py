"""Runs cases one after another in a process of its own, within limits; says on standard output what became of each.

    python worker.py <module with TARGETS> <folder> <seed> <memory MB> <seconds> < plan

A line of the plan is `<target>\t<number>`; of the answer `begin`, then `<outcome>\t<checked>\t<kind>\t<detail>`.
"""

from __future__ import annotations

import logging
import resource
import shutil
import signal
import sys
import traceback
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

from mutate import damaged

from truthward.errors import TruthwardError


class Case:
    """An intact file of one target with what it says, to be damaged again and again."""

    def __init__(self, target: Any, folder: Path) -> None:
        self.target = target
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.path = target.make(folder)
        self.whole = self.path.read_bytes()
        target.seal(self.path)
        self.right, again = self._read(self.whole), self._read(self.whole)
        if again != self.right:
            raise AssertionError(f"{target.name}: two readings of the intact file differ")

    def _read(self, data: bytes) -> str:
        self.path.write_bytes(data)
        return self.target.text(self.path)

    def run(self, seed: str, number: int) -> tuple[str, str, str, str]:
        """(outcome of the reader alone, outcome with the checksum before it, kind of damage, detail) of one case."""
        kind, data = damaged(self.whole, f"{seed}:{self.target.name}:{number}")
        outcome, detail = self._outcome(data)
        self.path.write_bytes(data)
        try:
            self.target.check(self.path)
        except TruthwardError:
            return outcome, "typed error", kind, detail
        return outcome, outcome, kind, detail

    def _outcome(self, data: bytes) -> tuple[str, str]:
        try:
            found = self._read(data)
        except TruthwardError as error:
            return "typed error", f"{type(error).__name__}: {error}"
        except Exception as error:  # noqa: BLE001 -- what else comes out is the finding
            frames = traceback.extract_tb(error.__traceback__)
            at = next((f for f in reversed(frames) if "truthward" in Path(f.filename).parts), frames[-1])
            place = f"{Path(at.filename).name}:{at.lineno}"
            return "other", f"{type(error).__name__} at {place}: {error}"
        return ("right result" if found == self.right else "altered"), ""


def main(module: Path, folder: Path, seed: str, memory: int, seconds: int) -> None:
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    sys.path.insert(0, str(module.parent))
    targets = {target.name: target for target in import_module(module.stem).TARGETS}
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
        *found, detail = case.run(seed, int(number))
        signal.alarm(0)
        print(*found, " ".join(detail.split()), sep="\t", flush=True, file=out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
