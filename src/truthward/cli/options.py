"""`truthward options [NAME]`: show what a config may contain, read from schemas and constructors."""

from __future__ import annotations

import textwrap

from rich.console import Console
from rich.text import Text

from truthward.study import options, plugins


def run(name: str | None) -> int:
    """List all, or show the options of one section or plug-in.

    Raises:
        ConfigError: there is no section or plug-in of this name.
    """
    console = Console(markup=False, highlight=False)
    if name is None:
        _list(console)
        return 0
    for group in options.find(name):
        _show(console, group)
    return 0


def _list(console: Console) -> None:
    """List all sections and all plug-ins, one line each; a terminal cuts long lines."""
    parts = [("Sections of a config", list(options.sections()))]
    parts += [(f"{what}: {key}", options.plugins_of(p)) for p, (key, what) in options.FOLDERS.items()]
    width = 2 + max(len(group.name.rpartition(".")[2]) for _, groups in parts for group in groups)
    cut = console.is_terminal
    for title, groups in parts:
        console.print(title, style="bold")
        for group in groups:
            line = Text(f"  {group.name.rpartition('.')[2]:{width}}{_capital(group.summary)}")
            console.print(line, no_wrap=True, overflow="ellipsis" if cut else "ignore", crop=cut)
        console.print()
    console.print("`truthward options NAME` shows the options of one of them.")


def _show(console: Console, group: options.Group) -> None:
    """Show type, bounds and default of each option in one line, and its meaning below; grouped by the config key."""
    console.print(group.name, style="bold")
    _print(console, _capital(group.summary), 0)
    for where in dict.fromkeys(option.where for option in group.options):
        console.print(f"\nIn the config: {where or 'at the top'}")
        for option in (o for o in group.options if o.where == where):
            said = [option.type, option.bounds, _default(option)]
            console.print(Text.assemble("  ", (option.name, "bold"), f": {', '.join(filter(None, said))}"))
            _print(console, option.meaning, 6)
    for package, (key, what) in options.FOLDERS.items():
        if not group.folder and key.split(".")[0] == group.name:
            console.print(f"\n{what}: {key}")
            _print(console, f"kind: {' | '.join(plugins.kinds(package))}", 2)
    console.print()


def _default(option: options.Option) -> str:
    """The default in words; nothing for a section, because its options have their own defaults."""
    return f"default {option.default}" if option.default not in ("", options.NEEDED) else option.default


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _print(console: Console, text: str, indent: int) -> None:
    """Print a text in lines that fit into the terminal."""
    margin, width = " " * indent, max(40, console.width)
    lines = textwrap.wrap(text, width, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False)
    console.print("\n".join(lines), soft_wrap=True)
