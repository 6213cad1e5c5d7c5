"""One new method = one new file: the kind is the module's name, the constructor is its schema.

A method with helpers is a folder: `<kind>/method.py`, and its helpers beside it.

Schemas are read with `ast`, so that a config is checked without importing torch or awkward.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import operator
import reprlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from truthward.errors import ConfigError

ROOT = Path(__file__).parents[1]
NOT_PLUGINS = {"__init__", "base"}
CONTRACTS = {
    "models": ("base.py", "GenerativeModel"),
    "calibrate": ("base.py", "Calibrator"),
    "unfold": ("contract.py", "Unfolder"),
    "events.readers": ("__init__.py", "Reader"),
    "physics.generators": ("base.py", "Generator"),
}
"""Folder of plug-ins -> file and name of their base class. The base class states its requirements: each constructor has
the options in `OPTIONS`; each class sets at least one of the attributes in `STATES`, as a literal."""
_COMPARED = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt, "=": operator.eq}


@dataclass(frozen=True)
class Schema:
    """Schema of a plug-in, from its source: options with annotation and default, the observables that it provides (at
    both levels, or at truth level only), which particles are stable, and bounds such as {"folds": "= 0 or >= 2"}.
    """

    kind: str
    options: dict[str, tuple[str, Any]]
    required: tuple[str, ...]
    provides: tuple[str, ...]
    provides_from: str | None
    provides_truth: tuple[str, ...] = ()
    particle_level: str = ""
    bounds: dict[str, str] = field(default_factory=dict)


def class_name(kind: str) -> str:
    """`flow_matching` -> `FlowMatching`."""
    return "".join(word.capitalize() for word in kind.split("_"))


@cache
def kinds(package: str) -> tuple[str, ...]:
    """Names of the plug-ins of a folder: a file is a plug-in if it defines the class with its name."""
    folder = ROOT / package.replace(".", "/")
    names = {p.stem for p in folder.glob("*.py")} | {p.parent.name for p in folder.glob("*/method.py")}
    return tuple(sorted(name for name in names - NOT_PLUGINS if _class_node(package, name)))


def source(package: str, kind: str) -> Path:
    """The file of a plug-in."""
    folder = ROOT / package.replace(".", "/")
    return path if (path := folder / kind / "method.py").is_file() else folder / f"{kind}.py"


@cache
def _class_node(package: str, kind: str) -> ast.ClassDef | None:
    tree = ast.parse(source(package, kind).read_text(encoding="utf-8"))
    wanted = class_name(kind)
    return next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == wanted), None)


def _class_of(package: str, kind: str) -> ast.ClassDef:
    node = _class_node(package, kind)
    if node is None:
        raise ConfigError(f"kind: {source(package, kind).name} holds no class {class_name(kind)}")
    return node


@cache
def schema(package: str, kind: str) -> Schema:
    """Read the schema of `truthward.<package>.<kind>` from its source.

    Raises:
        ConfigError: where there is no such kind, with the nearest ones, or where the schema is not literal.
    """
    if kind not in kinds(package):
        _refuse_other_name(package, kind)
        raise ConfigError(
            f"kind: {shown(kind)} is not one of {', '.join(kinds(package))}{nearest(kind, kinds(package))}"
        )
    node = _class_of(package, kind)
    options: dict[str, tuple[str, Any]] = {}
    required: list[str] = []
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            if len(item.args.args) > 1 or item.args.vararg or item.args.kwarg:
                raise ConfigError(f"{package}.{kind}: options must be keyword-only, without *args or **kwargs")
            for argument, default in zip(item.args.kwonlyargs, item.args.kw_defaults, strict=True):
                annotation = ast.unparse(argument.annotation) if argument.annotation else "Any"
                if default is None:
                    required.append(argument.arg)
                    options[argument.arg] = (annotation, None)
                    continue
                try:
                    options[argument.arg] = (annotation, ast.literal_eval(default))
                except ValueError as error:
                    raise ConfigError(
                        f"{package}.{kind}.{argument.arg}: the default of this option is not a literal; write a "
                        "number, text, True, False, None, or a list or mapping of them"
                    ) from error
    # Pairs of a bound and of the names of its options, separated by spaces.
    pairs = attribute(package, kind, "BOUNDS") or ()
    bounds = {name: bound for bound, names in pairs for name in names.split()}
    if unknown := [name for name in bounds if name not in options]:
        raise ConfigError(f"{package}.{kind}.BOUNDS: {unknown[0]} is no option of {kind}; valid: {', '.join(options)}")
    _hold_against_contract(package, kind, options)
    return Schema(
        kind,
        options,
        tuple(required),
        tuple(_literal(node, "PROVIDES") or ()),
        _literal(node, "PROVIDES_FROM"),
        tuple(_literal(node, "PROVIDES_TRUTH") or ()),
        _literal(node, "PARTICLE_LEVEL") or "",
        bounds,
    )


def _refuse_other_name(package: str, kind: str) -> None:
    """Raise ConfigError with the expected name of the class, if the file of the plug-in exists."""
    path = source(package, kind) if kind.isidentifier() else None
    if path is None or not path.is_file() or kind in NOT_PLUGINS:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    base = CONTRACTS[package][1]
    if found := [node.name for node in tree.body if isinstance(node, ast.ClassDef) and node.bases]:
        where = path.relative_to(ROOT).as_posix()
        raise ConfigError(
            f"kind: {where} has no class {class_name(kind)}, it has {', '.join(found)}; name the {base} of kind {kind} "
            f"{class_name(kind)}"
        )


def _hold_against_contract(package: str, kind: str, options: dict[str, Any]) -> None:
    """Refuse a plug-in that lacks what its base class requires."""
    file, base = CONTRACTS[package]
    tree = ast.parse((ROOT / package.replace(".", "/") / file).read_text(encoding="utf-8"))
    contract = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == base)
    where = f"{package.replace('.', '/')}/{file}"
    lacking = [name for name in _literal(contract, "OPTIONS") or () if name not in options]
    if lacking:
        raise ConfigError(
            f"kind: {class_name(kind)} has no option `{lacking[0]}`, but every {base} needs it ({where}); add it to "
            "the constructor, with a literal default"
        )
    states = _literal(contract, "STATES") or ()
    if states and all(attribute(package, kind, name) is None for name in states):
        raise ConfigError(
            f"kind: {class_name(kind)} does not set {' or '.join(states)}, but every {base} must ({where}); set it in "
            "the class, as a literal"
        )


def attribute(package: str, kind: str, name: str) -> Any:
    """A literal that the class of a plug-in sets, such as `joint` of a method of unfolding; None if it sets none."""
    return _literal(_class_of(package, kind), name)


def _literal(node: ast.ClassDef, name: str) -> Any:
    """The literal value of a class attribute, None if the class does not set it."""
    for item in node.body:
        targets = item.targets if isinstance(item, ast.Assign) else [getattr(item, "target", None)]
        value = getattr(item, "value", None)
        if any(isinstance(t, ast.Name) and t.id == name for t in targets) and value is not None:
            return ast.literal_eval(value)
    return None


def nearest(name: str, valid: Any) -> str:
    """` (did you mean 'x'?)`, or nothing."""
    close = difflib.get_close_matches(str(name), [str(v) for v in valid], n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def shown(value: Any) -> str:
    """A value for a message: in one short line."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother, short.maxlong = 3, 80, 80, 80
    return short.repr(value)


_CHECKS = {"int": (int,), "float": (int, float), "str": (str,), "bool": (bool,), "list": (list,), "dict": (dict,)}


def _matches(value: Any, annotation: str) -> bool:
    """Whether a YAML value fits a literal annotation such as `int`, `list[str]`, `float | None`, `Literal["a"]`."""
    node = ast.parse(annotation, mode="eval").body

    def fits(value: Any, node: ast.expr) -> bool:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return fits(value, node.left) or fits(value, node.right)
        if isinstance(node, ast.Constant) and node.value is None:
            return value is None
        if isinstance(node, ast.Name):
            if node.id == "Any":
                return True
            if isinstance(value, bool) and node.id in ("int", "float"):
                return False
            return isinstance(value, _CHECKS.get(node.id, (object,)))
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            if node.value.id == "Literal":
                return value in [ast.literal_eval(e) for e in inner]
            if node.value.id == "list":
                return isinstance(value, list) and all(fits(v, inner[0]) for v in value)
            if node.value.id == "dict":
                return isinstance(value, dict) and all(fits(v, inner[-1]) for v in value.values())
        return True

    return fits(value, node)


def _within(value: Any, bounds: str) -> bool:
    """Whether a number, or each of a list of them, is within bounds: `>= 1`, `> 0 and < 1`, `= 0 or >= 2`.

    >>> _within(0, ">= 1"), _within([0.5, 0.9], "> 0 and < 1"), _within(1, "= 0 or >= 2")
    (False, True, False)
    """
    if isinstance(value, list):
        return all(_within(v, bounds) for v in value)
    if not isinstance(value, int | float):
        return True
    each = [[condition.split() for condition in part.split(" and ")] for part in bounds.split(" or ")]
    return any(all(_COMPARED[sign](value, float(limit)) for sign, limit in conditions) for conditions in each)


def check(package: str, entry: dict[str, Any], where: str, given: tuple[str, ...] = ()) -> Schema:
    """Check a `{kind: ..., option: ...}` entry by its schema.

    Args:
        package: folder of the plug-ins, such as `unfold` or `events.readers`.
        entry: the entry of the config.
        where: the key of the config, for the message.
        given: constructor arguments that the program and not the config provides.

    Raises:
        ConfigError: unknown kind or option, wrong type, value beyond its bounds, missing option; the message names key,
            value and what is valid.
    """
    if not isinstance(entry, dict) or not isinstance(entry.get("kind"), str):
        raise ConfigError(
            f"{where}: give a mapping with `kind:` one of {', '.join(kinds(package))}; got {shown(entry)}"
        )
    try:
        found = schema(package, entry["kind"])
    except ConfigError as error:
        raise ConfigError(f"{where}.{error}") from None
    valid = [o for o in found.options if o not in given]
    for option, value in entry.items():
        if option == "kind":
            continue
        if option not in valid:
            raise ConfigError(
                f"{where}.{option}: {entry['kind']} has no such option; valid: {', '.join(valid)}"
                f"{nearest(option, valid)}"
            )
        annotation = found.options[option][0]
        if not _matches(value, annotation):
            raise ConfigError(f"{where}.{option}: {shown(value)} given, {annotation} expected")
        if (bounds := found.bounds.get(option)) and not _within(value, bounds):
            raise ConfigError(f"{where}.{option}: {shown(value)} given, {annotation} {bounds} expected")
    for option in found.required:
        if option not in entry and option not in given:
            raise ConfigError(f"{where}.{option}: {entry['kind']} needs this option")
    return found


def build(package: str, entry: dict[str, Any], **given: Any) -> Any:
    """Construct the plug-in that `entry` names: `build("models", {"kind": "flow_matching", "width": 128})`."""
    check(package, entry, package, tuple(given))
    inside = ".method" if source(package, entry["kind"]).stem == "method" else ""
    module = importlib.import_module(f"truthward.{package}.{entry['kind']}{inside}")
    options = {k: v for k, v in entry.items() if k != "kind"}
    return getattr(module, class_name(entry["kind"]))(**options, **given)
