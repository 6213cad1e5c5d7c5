"""What no file of the project does: unpickle, run text as code, or hand words to a shell."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("src", "workflow", "benchmarks")
FILES = [p for d in FOLDERS for p in sorted((ROOT / d).rglob("*.py")) if "/." not in p.relative_to(ROOT).as_posix()]
RULES = [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]

NEVER = {
    **dict.fromkeys(("eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec"), "runs text as code"),
    **dict.fromkeys(("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"), "calls a shell"),
    **dict.fromkeys(("pandas.read_pickle", "torch.jit.load", "torch.hub.load", "torch.package"), "unpickles"),
    **dict.fromkeys(("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"), "makes objects"),
    **dict.fromkeys(("uproot.reading.pickle", "numpy.loads", "importlib.reload"), "makes objects"),
}
PICKLES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
HARMLESS = {"pickle.UnpicklingError", "pickle"}
"""What may be said of pickle: the name of the error that torch raises where it refuses."""


def complaints(source: str) -> list[str]:
    """What a module does that none may, `<line>: <what>`; names are followed through their imports."""
    tree = ast.parse(source)
    known: dict[str, str] = {}
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {
                a.asname or a.name.partition(".")[0]: a.name if a.asname else a.name.partition(".")[0]
                for a in node.names
            }
        elif isinstance(node, ast.ImportFrom):
            known |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}

    def name(node: ast.AST) -> str:
        if isinstance(node, ast.Name):
            return known.get(node.id, node.id)
        return f"{name(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) and name(node.value) else ""

    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            if isinstance(node, ast.ImportFrom):
                modules += [f"{node.module}.{a.name}" for a in node.names]
            found += [f"{node.lineno}: imports {m}" for m in modules if m.partition(".")[0] in PICKLES - {"pickle"}]
        said = name(node)
        if said.partition(".")[0] == "pickle" and said not in HARMLESS:
            found.append(f"{node.lineno}: {said}")
        if not isinstance(node, ast.Call):
            continue
        called, options = name(node.func), {k.arg: k.value for k in node.keywords}
        if called in NEVER:
            found.append(f"{node.lineno}: {called} {NEVER[called]}")
        if called == "torch.load" and not _is(options.get("weights_only"), True):
            found.append(f"{node.lineno}: torch.load without weights_only=True")
        if "allow_pickle" in options and not _is(options["allow_pickle"], False):
            found.append(f"{node.lineno}: {called} with allow_pickle")
        if "shell" in options and not _is(options["shell"], False):
            found.append(f"{node.lineno}: {called} with shell")
    return found


def _is(node: ast.AST | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_is_unpickled_evaluated_or_given_to_a_shell(path: Path) -> None:
    assert complaints(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\npickle.load(f)",
        "import pickle as p\np.loads(b'')",
        "from pickle import loads\nloads(b'')",
        "import dill",
        "from joblib import load",
        "import torch\ntorch.load(f)",
        "from torch import load\nload(f, weights_only=False)",
        "import torch\ntorch.load(f, weights_only=flag)",
        "import numpy as np\nnp.load(f, allow_pickle=True)",
        "import pandas as pd\npd.read_pickle(f)",
        "import yaml\nyaml.load(f, Loader=yaml.Loader)",
        "from yaml import unsafe_load as safe\nsafe(f)",
        "eval('1')",
        "exec('1')",
        "import os\nos.system('true')",
        "import subprocess\nsubprocess.run('true', shell=True)",
    ],
)
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    assert complaints(source)


def test_the_search_lets_pass_what_is_right() -> None:
    right = "import torch, yaml, pickle\ntorch.load(f, weights_only=True)\nyaml.safe_load(f)\nnet.eval()\n"
    assert complaints(right + "try: pass\nexcept pickle.UnpicklingError: pass") == []
    assert len(FILES) > 100


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_rules_call_scripts_alone(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"^\s+(shell|run):|\beval\(|\bexec\(|os\.system|pickle", text, flags=re.MULTILINE)
