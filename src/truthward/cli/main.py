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
from typing import Any

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
        "write a commented config from files or a template",
        "Ranges and bins\nfollow the files. It puts the workflow into a folder that has none.",
        "truthward new-study ttbar mc/*.root --rows jets --observable m=jets.mass",
    )
    one.usage = "truthward new-study NAME [FILE ...] [options]"
    one.add_argument("name", metavar="NAME", help="name of the study; its results are in results/NAME/")
    one.add_argument("files", metavar="FILE", nargs="*", help="ROOT files of the simulation")
    one.add_argument("--data", metavar="DATA", nargs="+", default=[], help="its ROOT files")
    one.add_argument("--observable", metavar="NAME=EXPR", action="append", default=[], help="or NAME=TRUTH:RECO")
    one.add_argument("--preset", metavar="P", help="format of the files, if not recognised")
    one.add_argument("--rows", metavar="R", help="events, or a collection whose objects are rows")
    one.add_argument("--tree", metavar="TREE", help="name of the tree, where a file has several")
    one.add_argument("--template", metavar="T", help="a study of workflow/studies, without FILE (own_data)")
    one.add_argument("--output", metavar="FILE", type=Path, help="the config to write (NAME.yaml)")

    one = add(
        "inspect",
        "show what is in files of events",
        "It lists trees and branches with\ntheir ranges, formats, weights, event numbers, and pairs of truth and reco.",
        "truthward inspect mc/*.root --match jet",
    )
    one.add_argument("files", metavar="FILE", nargs="+", help="ROOT files")
    one.add_argument("--match", metavar="TEXT", default="", help="list the branches with this text in their names")
    one.add_argument(
        "--all", dest="every", action="store_true", help="list every branch, and not one line for each collection"
    )

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
        "It reads the\nconfig, tries its methods, and shows devices, packages and the plan.",
        "truthward check workflow/studies/tiny.yaml",
    )
    one.add_argument("config", metavar="CONFIG", nargs="?", default="config.yaml", help="config file (config.yaml)")

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
        "verify a publication",
        "Checksums, schema,\nfamilies and sums of weights; it names what is missing or damaged.",
        "truthward verify results/zjets/publication",
    )
    one.add_argument("folder", metavar="PUBLICATION", type=Path, help="folder of the publication")

    one = add(
        "compare",
        "compare a publication with predictions",
        "Events: ROOT, Parquet,\nHepMC3, LHE. Histograms: YODA, HEPData. Or a YAML file that describes them.",
        "truthward compare results/zjets/publication monash.parquet A14=a14.root",
    )
    one.add_argument("folder", metavar="PUBLICATION", type=Path, help="folder of the publication")
    one.add_argument("predictions", metavar="PREDICTION", nargs="+", help="FILE, NAME=FILE, or a file of predictions")
    one.add_argument("--observables", metavar="O", nargs="+", help="only these (all that were unfolded)")
    one.add_argument("--absolute", action="store_true", help="yields too, not only shapes")
    one.add_argument("--output", metavar="FOLDER", type=Path, default=Path("comparison"), help="(comparison)")
    one.add_argument("--seed", type=int, default=1, help="of the unbinned test (1)")

    one = add(
        "convert",
        "write a publication as a flat table, or read one",
        "A column for each\nweight, as in 2405.20041; SOURCE decides which way.",
        "truthward convert results/zjets/publication flat",
    )
    one.add_argument("source", metavar="SOURCE", type=Path, help="a publication, or a flat table (Parquet, CSV, HDF5)")
    one.add_argument("target", metavar="TARGET", type=Path, help="a new folder")
    one.add_argument("--observables", metavar="O", nargs="+", help="of a table: those that were unfolded (all)")
    one.add_argument("--licence", default="", help="of a table, if its metadata do not say it")
    one.add_argument("--fiducial", default="", help="of a table: its fiducial region in words")
    return made


def run(options: argparse.Namespace) -> int:
    """Run a command. Its module is imported only here, because only some of them need torch."""
    name = options.command.replace("-", "_")
    given = {key: value for key, value in vars(options).items() if key != "command"}
    if name == "new_study":
        given = {key: given[key] for key in ("name", "template", "output")} | {"asked": asked(options)}
    elif name == "check":
        from truthward.study import checks

        # A wrong config ends here, before torch is imported and anything is tried.
        name, given = "check.command", {"path": Path(options.config), "config": checks.load(options.config)}
    return import_module(f"truthward.cli.{name}").run(**given)


def asked(options: argparse.Namespace) -> dict[str, Any]:
    """What `new-study` was told of files."""
    names = ("files", "data", "preset", "rows", "tree")
    return {name: getattr(options, name) for name in names} | {"observables": tuple(options.observable)}


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
