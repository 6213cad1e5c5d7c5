"""Would the tests notice? Plausible single-point mistakes, planted one at a time, and whether a test fails for each.

The mistakes stand in mutants/<stage>.yaml: a file, a text that occurs once in it, what it is changed to, and the tests
that should notice. Those where nothing should be noticed say why (`survives`). Score: killed among all.

The checkout is copied to a temporary folder, so nothing happens to it. Each mistake runs its tests in a process of one
thread, which ends at the first failure. Tests that fail without any mistake prove nothing: there is no result then.
Outcomes are kept under .cache by what they depend on, so an interrupted run goes on, and a new test asks for few.

QUICK: those that say `quick`. ONLY: of stages or files that contain this text. SHARE: k/n, every n-th, the k-th first:
several calls fill the cache at once, and one without it makes the result. AGAIN: those that survived last time.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.dont_write_bytecode = True

import pytest  # noqa: E402
import yaml  # noqa: E402
from _common import HERE, QUICK, report  # noqa: E402

from truthward.run.artefact import read_json, write_json  # noqa: E402

for library in ("awkward", "fastjet", "pandas", "scipy.stats", "torch", "uproot", "zuko"):
    importlib.import_module(library)

ROOT = HERE.parent
PARTS = (
    "src",
    "tests",
    "workflow",
    "rules",
    "envs",
    "profiles",
    "benchmarks",
    "Snakefile",
    "config.yaml",
    "pyproject.toml",
    "Makefile",
    "README.md",
    "docs",
)
LIMIT = 600
"""Seconds after which tests are taken to hang, which is noticed too."""


@dataclass(frozen=True)
class Mutant:
    """One mistake: `old` becomes `new` in `file`; `tests` are arguments of pytest."""

    stage: str
    file: str
    old: str
    new: str
    tests: str
    survives: str = ""
    quick: bool = False

    def planted(self, folder: Path) -> str:
        """The source with the mistake in it."""
        return (folder / self.file).read_text(encoding="utf-8").replace(self.old, self.new)

    def trouble(self, folder: Path) -> str:
        """Why it cannot be planted; empty where it can."""
        path = folder / self.file
        count = path.read_text(encoding="utf-8").count(self.old) if path.is_file() else 0
        files = [word.split("::")[0] for word in self.tests.partition(" -k ")[0].split()]
        if count != 1 or self.old == self.new:
            return f"{self.stage}: {self.file} holds {count} times, where once is needed: {self.old!r}"
        return "".join(f"{self.stage}: no tests {name}" for name in files if not (folder / name).exists())

    def key(self, folder: Path) -> str:
        """Digest of the mistake, of the code and of the tests that it is run with."""
        digest = hashlib.sha256(f"{self.planted(folder)}\0{self.tests}\0{state(folder, self.tests)}".encode())
        return digest.hexdigest()[:16]


def mutants() -> list[Mutant]:
    """All of them, stage by stage."""
    found = []
    for path in sorted((HERE / "mutants").glob("*.yaml")):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
            found.append(Mutant(stage=path.stem, **entry))
    return found


def state(folder: Path, tests: str) -> str:
    """Digest of the package and of the tests' files: what an outcome depends on beside the mistake."""
    named = [folder / word.split("::")[0] for word in tests.split() if word.startswith("tests/")]
    files = [f for path in named for f in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
    helpers = sorted((folder / "tests").rglob("conftest.py"))
    content = b"\0".join(p.read_bytes() for p in [*sorted((folder / "src").rglob("*.py")), *files, *helpers])
    return hashlib.sha256(content).hexdigest()


def run(folder: Path, tests: str) -> tuple[int, str, float]:
    """Exit code of pytest, the first test that failed, and seconds: in a process of its own, forked from this one,
    which has the libraries in memory and nothing of the package."""
    started, output = time.monotonic(), folder.parent / "output.txt"
    process = get_context("fork").Process(target=_pytest, args=(folder, _words(tests), output))
    process.start()
    process.join(LIMIT)
    if process.is_alive():
        process.kill()
        process.join()
        return 1, f"no end within {LIMIT} s", time.monotonic() - started
    said = output.read_text(encoding="utf-8", errors="replace")
    failed = [line.split()[1] for line in said.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    if process.exitcode not in (0, 1):
        raise SystemExit(f"pytest {tests}: exit code {process.exitcode}\n{said[-3000:]}")
    return process.exitcode, failed[0] if failed else "", time.monotonic() - started


def _pytest(folder: Path, words: list[str], output: Path) -> None:
    os.chdir(folder)
    with output.open("w") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    for name in [n for n in sys.modules if n.split(".")[0] in ("truthward", "tests", "_common")]:
        del sys.modules[name]
    own = {str(HERE), str(ROOT), str(ROOT / "src"), ""}
    sys.path[:] = [str(folder / "src"), *(p for p in sys.path if p not in own)]
    os.environ["PYTHONPATH"] = str(folder / "src")
    code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *words])
    sys.stdout.flush()
    os._exit(int(code))


def _words(tests: str) -> list[str]:
    """Arguments of pytest: paths, and what comes after -k as one."""
    paths, _, chosen = tests.partition(" -k ")
    return [*paths.split(), *(["-k", chosen.strip()] if chosen else [])]


def judged(folder: Path, mutant: Mutant, sound: dict[str, str]) -> dict[str, Any]:
    """The outcome of one mistake, kept from an earlier run or found now."""
    kept = HERE / ".cache" / "mutants" / f"{mutant.key(folder)}.json"
    if kept.is_file():
        return read_json(kept)
    if mutant.tests not in sound:
        code, failed, _ = run(folder, mutant.tests)
        sound[mutant.tests] = failed if code else ""
    if sound[mutant.tests]:
        return {"killed": False, "by": "", "seconds": 0.0, "unsound": sound[mutant.tests]}
    path = folder / mutant.file
    source, planted = path.read_text(encoding="utf-8"), mutant.planted(folder)
    try:
        path.write_text(planted, encoding="utf-8")
        code, by, seconds = run(folder, mutant.tests)
    finally:
        path.write_text(source, encoding="utf-8")
    outcome = {"killed": bool(code), "by": by, "seconds": round(seconds, 1)}
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_json(kept, outcome)
    return outcome


def main() -> None:
    """Plant all, count what is noticed, list what is not."""
    only = os.environ.get("ONLY", "")
    first, of = map(int, os.environ.get("SHARE", "1/1").split("/"))
    chosen = [m for m in mutants() if only in f"{m.stage} {m.file}" and (m.quick or not QUICK)][first - 1 :: of]
    if again := bool(os.environ.get("AGAIN")):
        survived = read_json(HERE / "results" / "mutants.json")["figures"]["survivors"]
        chosen = [m for m in chosen if any(m.new == s["new"] and not m.survives for s in survived)]
    rows, sound = [], {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "checkout"
        folder.mkdir()
        for part in PARTS:
            if (ROOT / part).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", ".cache", "*.egg-info")
                shutil.copytree(ROOT / part, folder / part, ignore=ignored)
            else:
                shutil.copy(ROOT / part, folder / part)
        if troubles := [trouble for m in mutants() if (trouble := m.trouble(folder))]:
            raise SystemExit("\n".join(troubles))
        for number, mutant in enumerate(chosen, start=1):
            outcome = judged(folder, mutant, sound)
            rows.append({"mutant": mutant, **outcome})
            what = f"killed by {outcome['by']}" if outcome["killed"] else f"SURVIVES: {mutant.old!r} -> {mutant.new!r}"
            if "unsound" in outcome:
                what = f"{outcome['unsound']} fails without any mistake"
            print(f"{number} of {len(chosen)}, {outcome['seconds']:.0f} s: {mutant.file}: {what}", flush=True)
    if unsound := sorted({r["unsound"] for r in rows if "unsound" in r}):
        raise SystemExit(f"tests that fail without any mistake prove nothing: {', '.join(unsound)}")
    if only or of > 1 or again:
        return
    stages = {
        stage: {
            "planted": count,
            "killed": sum(r["killed"] for r in rows if r["mutant"].stage == stage),
        }
        for stage, count in Counter(m.stage for m in chosen).items()
    }
    survivors = [
        {"file": m.file, "old": m.old, "new": m.new, "reason": m.survives}
        for m in (r["mutant"] for r in rows if not r["killed"])
    ]
    killed = sum(r["killed"] for r in rows)
    report(
        "mutants",
        {
            "planted": len(rows),
            "killed": killed,
            "score": killed / len(rows),
            "stages": stages,
            "survivors": survivors,
            "seconds": round(sum(r["seconds"] for r in rows), 1),
        },
    )


if __name__ == "__main__":
    main()
