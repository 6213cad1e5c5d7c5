"""The command `truthward`: its arguments and exit codes. Each subcommand is in the module of its name.

Exit codes: 0, everything is fine; 1, there is a problem, described on stderr; 2, the call is not valid.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

from truthward import __version__
from truthward.errors import TruthwardError

EPILOG = """\
A study is run by Snakemake: snakemake --cores all --configfile CONFIG
truthward COMMAND --help shows the arguments of a command, and an example."""

# With the usual indent of two the longest command would not fit into its column.
LAYOUT = partial(argparse.RawDescriptionHelpFormatter, indent_increment=1)


def parser() -> argparse.ArgumentParser:
    """All commands with their arguments."""
    made = argparse.ArgumentParser(
        prog="truthward",
        description="Unfolding for the LHC: from ROOT files to a validated truth-level result.",
        epilog=EPILOG,
        formatter_class=LAYOUT,
    )
    made.add_argument("--version", action="version", version=f"truthward {__version__}")
    commands = made.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    def add(name: str, says: str, more: str, example: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=says,
            description=f"{says[0].upper()}{says[1:]}. {more}",
            epilog=f"example:\n  {example}",
            formatter_class=LAYOUT,
        )

    one = add(
        "new-study",
        "write a commented config from a template",
        "In a folder without a\nworkflow it also puts the workflow there.",
        "truthward new-study ttbar --template own_data",
    )
    one.add_argument("name", metavar="NAME", help="name of the study; its results are in results/NAME/")
    one.add_argument("--template", metavar="T", default="own_data", help="a study of workflow/studies (own_data)")
    one.add_argument("--output", metavar="FILE", type=Path, help="the config to write (NAME.yaml)")

    one = add(
        "options",
        "show the sections of a config, the plug-ins, and their options",
        "Without NAME\nit lists all of them.",
        "truthward options omnifold",
    )
    one.add_argument("name", metavar="NAME", nargs="?", help="a section such as publish, or a plug-in such as omnifold")

    one = add(
        "check",
        "check whether a study can run here, before it is started",
        "It reads the\nconfig, builds every method, and shows devices, packages and the plan.",
        "truthward check workflow/studies/tiny.yaml",
    )
    one.add_argument(
        "path", metavar="CONFIG", nargs="?", default="config.yaml", type=Path, help="config file (config.yaml)"
    )

    one = add(
        "watch",
        "watch how a run goes, here or on a cluster",
        "The key q ends it.",
        "truthward watch results/zjets",
    )
    one.add_argument(
        "results", metavar="RESULTS", nargs="?", type=Path, help="results/<study> (of the study that ran last)"
    )
    one.add_argument("--once", action="store_true", help="print and end")
    one.add_argument("--seconds", type=float, default=3.0, help="between two looks (3)")

    one = add(
        "verify",
        "verify a publication against its checksums",
        "It names the first\nfile that is missing or damaged.",
        "truthward verify results/zjets/publication",
    )
    one.add_argument("folder", metavar="PUBLICATION", type=Path, help="folder of the publication")
    return made


def run(options: argparse.Namespace) -> int:
    """Run a command. Its module is imported only here, because only some of them need torch."""
    name = options.command.replace("-", "_")
    module = import_module("truthward.cli.check.command" if name == "check" else f"truthward.cli.{name}")
    return module.run(**{key: value for key, value in vars(options).items() if key != "command"})


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point.

    Returns:
        The exit code.
    """
    own = parser()
    options = own.parse_args(arguments)
    if options.command is None:
        own.print_help(sys.stderr)
        return 2
    try:
        return run(options)
    except TruthwardError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
