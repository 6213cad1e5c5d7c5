"""Find out what Snakemake would run, and why: its dry run, by rule, with the parameters that changed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from truthward.errors import ConfigError, TruthwardError

PARAMS = "Params have changed since last execution: "
# Beginnings of Snakemake's reasons, and the words for them in the table.
REASONS = {
    "Incomplete output files": "was interrupted",
    "Updated input files": "newer: ",
    "Set of input files has changed": "other input files",
    "Forced execution": "forced",
}
# Keys of the `code` param, see `truthward.run.digests.code`.
CODE = {"digest": "code", "environment": "locked packages", "kinds": "kinds"}


class PlanError(TruthwardError):
    """Snakemake could not plan the study."""


@dataclass
class Planned:
    """The jobs of a rule that would run.

    Attributes:
        new: number of jobs without any output yet.
        again: number of jobs with existing output (or a part of it) that would be made again.
        why: reason -> number of jobs that have it; "after <rule>" if the reason is a job of another rule.
    """

    new: int = 0
    again: int = 0
    why: Counter[str] = field(default_factory=Counter)


def dry_run(config: Path) -> str:
    """The text of `snakemake --dry-run`, with the triggers of the default profile and the plain logger.

    Raises:
        ConfigError, PlanError: with the last lines of Snakemake's output.
    """
    profile = Path("profiles/default/config.yaml")
    try:
        triggers = yaml.safe_load(profile.read_text(encoding="utf-8"))["rerun-triggers"]
    except OSError as error:
        raise PlanError(
            f"{profile}: {error.strerror}; call this where the Snakefile is. `truthward new-study` puts the workflow "
            "into an empty folder"
        ) from error
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--nolock", "--rerun-incomplete", "--profile", "none"]
    command += ["--workflow-profile", "none", "--configfile", str(config), "--rerun-triggers", *triggers]
    done = subprocess.run(command, capture_output=True, text=True)
    text = done.stdout + done.stderr
    if done.returncode == 0:
        return text
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in lines:
        if line.startswith("ConfigError: "):
            raise ConfigError(line.removeprefix("ConfigError: "))
    raise PlanError(f"snakemake --dry-run ended with {done.returncode}: {' '.join(lines[-4:])}")


def parse(text: str) -> dict[str, Planned]:
    """The jobs of a dry run by rule, in the order in which they would start; rules without output are left out."""
    jobs = []
    for block in re.split(r"^(?:local)?rule (?=\w+:$)", text, flags=re.MULTILINE)[1:]:
        rule, _, rest = block.partition(":\n")
        fields = dict(re.findall(r"^    (\w+): (.*)$", rest.split("\n[", 1)[0], flags=re.MULTILINE))
        if "output" in fields:
            jobs.append((rule, fields["output"].split(", "), fields.get("reason", "")))
    makers = {file: rule for rule, outputs, _ in jobs for file in outputs}
    plan: dict[str, Planned] = {}
    for rule, outputs, reason in jobs:
        planned = plan.setdefault(rule, Planned())
        if any(Path(file).exists() for file in outputs):
            planned.again += 1
        else:
            planned.new += 1
        planned.why.update(reasons(reason, outputs, makers))
    return plan


def reasons(text: str, outputs: list[str], makers: dict[str, str]) -> set[str]:
    """The reasons of one job in few words.

    >>> sorted(reasons("Updated input files: a.root; Input files updated by another job: b", ["."], {"b": "ingest"}))
    ['after ingest', 'newer: a.root']
    """
    if not any(Path(file).exists() for file in outputs):
        return {"not made yet"}
    files, _, params = text.partition(PARAMS)
    found = set(_changed(params)) if params else set()
    for part in filter(None, files.split("; ")):
        what, _, names = part.partition(": ")
        if what == "Input files updated by another job":
            found |= {f"after {makers[name]}" if name in makers else f"newer: {name}" for name in names.split(", ")}
        elif what == "Missing output files":
            found.add(f"missing: {names}")
        else:
            said = REASONS.get(what, part)
            found.add(said + names if said.endswith(" ") else said)
    return found


def _changed(text: str) -> list[str]:
    """The params that differ, from the text `before: {...} now: {...}` that Snakemake prints."""
    match = re.search(r"before: (.*) now: (.*?)(?:; Software environment.*)?$", text.strip())
    try:
        sides = [ast.literal_eval(f"[{side}]") for side in (match.groups() if match else ())]
    except (SyntaxError, ValueError):
        sides = []
    if not sides:
        return ["other parameters"]
    # Snakemake prints sets: `spec` and `code` come in any order, and params that did not change are left out.
    code, spec = ([[p for p in side if ("digest" in p) is is_code] for side in sides] for is_code in (True, False))
    found = [CODE.get(key, key) for old, new in zip(*code, strict=False) for key in new if old.get(key) != new[key]]
    found += [said for old, new in zip(*spec, strict=False) for said in difference(old, new)]
    return found or ["other parameters"]


def difference(old: Any, new: Any, where: str = "") -> list[str]:
    """The options in which two specs differ.

    >>> difference({"seed": 1, "method": {"epochs": 5}}, {"seed": 1, "method": {"epochs": 6}})
    ['method.epochs: 5 -> 6']
    """
    if isinstance(old, dict) and isinstance(new, dict):
        keys = list({**old, **new})
        absent = object()
        pairs = [(key, old.get(key, absent), new.get(key, absent)) for key in keys]
        found = []
        for key, a, b in pairs:
            path = f"{where}.{key}".lstrip(".")
            if a is absent or b is absent:
                found.append(f"{path} {'added' if a is absent else 'removed'}")
            else:
                found += difference(a, b, path)
        return found
    if old == new:
        return []
    shown = f"{old} -> {new}"
    return [f"{where}: {shown}" if len(shown) < 50 else where]
