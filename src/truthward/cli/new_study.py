"""`truthward new-study NAME`: write a commented config to start from, and the workflow if there is none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from truthward.errors import ConfigError, InputError
from truthward.run import workflow
from truthward.run.files import expand
from truthward.study import checks, plugins
from truthward.study.config import Config


def templates() -> dict[str, Path]:
    """The ready-made studies, by name."""
    return {path.stem: path for path in sorted((workflow.home() / "workflow" / "studies").glob("*.yaml"))}


def run(name: str, template: str | None, output: Path | None, asked: Mapping[str, Any] | None = None) -> int:
    """Write the config, and say what to do next.

    Args:
        asked: files and what was said of them, see `draft.Asked`; without files the config is a copy of the template.

    Raises:
        ConfigError: a bad name, an unknown template, or a file that would be overwritten.
        InputError: files that cannot be read.
    """
    if not checks.NAME.fullmatch(name):
        raise ConfigError(
            f"NAME: {plugins.shown(name)} is not a valid name; use letters, digits and _ only, begin with a letter, "
            "and take 64 characters at most"
        )
    known, files = templates(), (asked or {}).get("files")
    if files and template is not None:
        raise ConfigError("--template: the config is made from the files; give either files or a template")
    if not files and (given := [key for key, value in (asked or {}).items() if value]):
        raise ConfigError(f"--{given[0]}: it describes files, but none is given; truthward new-study {name} FILE ...")
    template = template or "own_data"
    if template not in known:
        raise ConfigError(
            f"--template: {plugins.shown(template)} is not one of {', '.join(known)}{plugins.nearest(template, known)}"
        )
    config = output or Path(f"{name}.yaml")
    if config.exists():
        raise ConfigError(f"{config}: exists already, so nothing was written; give another --output, or remove it")
    if not config.parent.is_dir():
        raise ConfigError(f"{config}: there is no folder {config.parent}; create it first")
    said: list[str] = []
    if files:
        # Only this needs to read files.
        from truthward.cli import draft

        text, said = draft.text(name, draft.Asked(**(asked or {})), config)
    else:
        text = filled(known[template], name, config)
    laid_down = workflow.lay_down(Path())
    config.write_text(text, encoding="utf-8")
    print(
        f"{config} is made from the files." if files else f"{config} is a copy of the study {template}, with comments."
    )
    print(
        "\n".join(["", "To be looked at:", *(f"  {each}" for each in said)]) if said else "", end="\n" if said else ""
    )
    if laid_down:
        print(f"This folder had no workflow: {', '.join(workflow.LAID_DOWN)} are new here.")
    print("\n".join(["", "Next:", *(f"  {step}" for step in steps(checks.load(config), config))]))
    return 0


def filled(template: Path, name: str, config: Path) -> str:
    """The text of a template, with the new name of the study and the path of the new config in comments."""
    text = re.sub(r"^study:.*$", f"study: {name}", template.read_text(encoding="utf-8"), count=1, flags=re.MULTILINE)
    return text.replace(f"workflow/studies/{template.name}", str(config))


def steps(study: Config, config: Path) -> list[str]:
    """What to do before the study can run, and how to run it."""
    missing = [f"samples.{name}.read.files" for name, sample in study.samples.items() if _lacks(sample.read)]
    found = [f"Give the paths of your files in {config}: {', '.join(missing)}"] if missing else []
    return [
        *found,
        f"truthward check {config}",
        f"snakemake --cores all --configfile {config}",
        f"truthward watch results/{study.study}    (in another terminal)",
    ]


def _lacks(reader: dict[str, object] | None) -> bool:
    """Whether a reader names files that do not exist."""
    files = reader.get("files") if reader else None
    if not isinstance(files, list):
        return False
    try:
        expand(files)
    except InputError:
        return True
    return False
