"""The meaning of options, from the docstrings in the source: nothing is imported."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Collection
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
HEADINGS = ("Args:", "Attributes:")
"""Headings of a Google-style docstring under which options stand, one or several to a line."""
_NAMES = r"[A-Za-z_]\w*(?:, [A-Za-z_]\w*)*"
_SEE = re.compile(r"see `?(\w+)`?[.;]?")


def summary(docstring: str | None) -> str:
    """First sentence of a docstring, in one line.

    >>> summary("Flow matching (2210.02747). A second\\nsentence.")
    'Flow matching (2210.02747).'
    """
    first = " ".join((docstring or "").strip().partition("\n\n")[0].split())
    return re.split(r"(?<=[.:])\s(?=[A-Z`])", first, maxsplit=1)[0].rstrip(":")


def meanings(docstring: str | None, names: Collection[str]) -> dict[str, str]:
    """Option -> its text under `Args:` or `Attributes:`; options without a text are left out.

    An entry is `name: text` or `one, two: text`. Further entries may follow in the same line, after a full stop or a
    semicolon.

    >>> meanings("Net.\\n\\nArgs:\\n    width: of a layer. depth: layers;\\n        at least one.", ["width", "depth"])
    {'width': 'of a layer.', 'depth': 'layers; at least one.'}
    """
    found: dict[str, str] = {}
    inline = re.compile(rf"(?:^|(?<=[.;]) )({_NAMES}): ")
    for entry in _entries(docstring):
        known = [m for m in inline.finditer(entry) if set(m[1].split(", ")) & set(names)]
        ends = [match.start() for match in known[1:]] + [len(entry)] * bool(known)
        for match, end in zip(known, ends, strict=True):
            text = entry[match.end() : end].strip().removesuffix(";")
            found |= {name: text for name in match[1].split(", ") if name in names}
    return found


def _entries(docstring: str | None) -> list[str]:
    """The entries under the headings, each in one line: continuation lines are indented."""
    found: list[str] = []
    inside = False
    for line in inspect.cleandoc(docstring or "").splitlines():
        if not line.startswith(" ") and line:
            inside = line in HEADINGS
        elif inside and re.match(rf"    {_NAMES}: ", line):
            found.append(line.strip())
        elif inside and found and line.strip():
            found[-1] += f" {line.strip()}"
    return found


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def of_module(path: Path) -> str | None:
    """The docstring of a source file."""
    return ast.get_docstring(_tree(path))


def of_class(path: Path, name: str, names: Collection[str]) -> dict[str, str]:
    """Option -> meaning, for a class of a source file; see `meanings`.

    If a text is `see <Class>`, and the file imports or defines this class, the text of that class is used.
    """
    found = meanings(ast.get_docstring(classes(path)[name]), names)
    for option, text in found.items():
        if (match := _SEE.fullmatch(text)) and (file := place(path, match[1])):
            found[option] = of_class(file, match[1], names).get(option, text)
    return found


def classes(path: Path) -> dict[str, ast.ClassDef]:
    """The classes of a source file, by name."""
    return {node.name: node for node in _tree(path).body if isinstance(node, ast.ClassDef)}


def place(path: Path, name: str) -> Path | None:
    """The file that defines a class which a file imports from the package, or defines itself."""
    if name in classes(path):
        return path
    for node in _tree(path).body:
        if isinstance(node, ast.ImportFrom) and node.module and any(alias.name == name for alias in node.names):
            package, *parts = node.module.split(".")
            file = PACKAGE.joinpath(*parts).with_suffix(".py")
            return file if package == "truthward" and file.is_file() else None
    return None
