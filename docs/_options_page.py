"""The page of all options, from the schemas of sections and the constructors of plug-ins."""

from __future__ import annotations

import re
from collections.abc import Iterable

from truthward.study import options, plugins

HEAD = """# All options

Made from the source: the sections of a config (`study/config.py`, `<stage>/section.py`) and the constructors of the
plug-ins. Every other key is refused before the first job, with the nearest valid one. `truthward options [name]` prints
the same tables on the terminal.

*needed*: has no default. Numbers such as 2210.02747 are papers on arXiv. The file `config.yaml` has an example of
each section, with comments.
"""
_PAPER = re.compile(r"\b(\d{4}\.\d{4,5})\b")


def page() -> str:
    """The page as Markdown."""
    parts = [HEAD, "## Sections of a config\n"]
    parts += [_group(group, f"`{group.name}`") for group in options.sections()]
    for folder, (key, title) in options.FOLDERS.items():
        parts.append(f"## {title}\n\nUnder `{key}`, as `{{kind: <name>, <option>: <value>}}`.\n")
        parts += [_group(group, f"`{group.name.rpartition('.')[2]}`") for group in options.plugins_of(folder)]
    return "\n".join(parts)


def _group(group: options.Group, title: str) -> str:
    """One section or plug-in: its heading, what it is, and a row for each option."""
    said = group.summary[:1].upper() + group.summary[1:]
    anchor = group.name.replace(".", "-").replace("_", "-")
    return f"### {title} {{ #{anchor} }}\n\n{_text(said)}{_papers(group)}\n\n{_table(group.options)}\n"


def _papers(group: options.Group) -> str:
    """The papers that the source of a plug-in names, in their order."""
    if not group.folder:
        return ""
    source = plugins.source(group.folder, group.name.rpartition(".")[2]).read_text(encoding="utf-8")
    found = ", ".join(dict.fromkeys(_PAPER.findall(source)))
    return f" Papers: {_text(found)}." if found else ""


def _table(rows: Iterable[options.Option]) -> str:
    lines = ["| option | type | default | bounds | meaning |", "|---|---|---|---|---|"]
    for row in rows:
        default = "*needed*" if row.default == options.NEEDED else _code(row.default)
        name = _short(f"{row.where}.{row.name}" if row.where else row.name)
        cells = (_code(name), _code(row.type), default, _code(row.bounds), _cell(row.meaning))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _short(key: str) -> str:
    """The key without what the heading says: `validate.fit.degree` -> `fit.degree`."""
    for folder_key, _ in options.FOLDERS.values():
        if key.startswith(f"{folder_key}."):
            return key.removeprefix(f"{folder_key}.")
    first, _, rest = key.partition(".")
    return rest.removeprefix("<name>.") if rest else first


def _code(text: str) -> str:
    """A text as code, in which strokes and angles stand as they are."""
    return f"`{text}`" if text else ""


def _text(text: str) -> str:
    """A text of a docstring: outside of code angles are escaped, and papers are links."""
    parts = re.split(r"(`[^`]*`)", text.replace("None", "null"))
    return "".join(part if part.startswith("`") else _plain(part) for part in parts)


def _plain(text: str) -> str:
    return _PAPER.sub(r"[\1](https://arxiv.org/abs/\1)", text.replace("<", "&lt;"))


def _cell(text: str) -> str:
    """The same as the cell of a table, in which a stroke outside of code is escaped."""
    parts = re.split(r"(`[^`]*`)", _text(text))
    return "".join(part if part.startswith("`") else part.replace("|", "\\|") for part in parts)
