"""What mkdocs calls: pages made from the source join those that are written by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
for _folder in ("src", "benchmarks", "docs"):
    sys.path.insert(0, str(ROOT / _folder))

import _options_page  # noqa: E402
import _rooms_figure  # noqa: E402
import tables  # noqa: E402
from mkdocs.structure.files import File  # noqa: E402

from truthward.validate.method.verdict import RULES  # noqa: E402


def changes() -> str:
    """The page of changes."""
    return (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def contributing() -> str:
    """The page for contributors: what the checkout says to them, or where to begin."""
    path = ROOT / "CONTRIBUTING.md"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    return "# Contributing\n\n`make test` runs lint and every test. Read the [architecture](architecture.md) first.\n"


GENERATED = {
    "options.md": _options_page.page,
    "benchmarks.md": tables.page,
    "changelog.md": changes,
    "contributing.md": contributing,
    "assets/rooms.svg": _rooms_figure.svg,
}
"""Page or figure of the site -> what makes its text."""


def on_files(files: Any, *, config: Any) -> Any:
    """Put the generated pages among the files; one of the same name in docs/ gives way, as it may be of another day."""
    for name, make in GENERATED.items():
        if (old := files.get_file_from_path(name)) is not None:
            files.remove(old)
        files.append(File.generated(config, name, content=make()))
    return files


def verdict_rules() -> str:
    """The table of the rules of verdicts."""
    rows = [
        {
            "rule": rule.name,
            "warning beyond": f"{rule.warns:g}",
            "failure beyond": "never" if rule.fails is None else f"{rule.fails:g}",
            "needs the truth": "yes" if rule.truth else "",
        }
        for rule in RULES
    ]
    limits = "Limits are relative sizes: of yields, of AUC above 1/2, of shares. `coverage` is the rms pull."
    return f"{tables.table(rows)}\n\n{limits}"


PARTS = {"{{ methods_table }}": tables.methods_table, "{{ verdict_rules }}": verdict_rules}
"""What stands for a generated part of a page -> what makes its text."""


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Fill in the generated parts of a page."""
    for name, make in PARTS.items():
        markdown = markdown.replace(name, make()) if name in markdown else markdown
    return markdown
