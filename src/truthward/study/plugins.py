"""One new method = one new file: the kind is the module's name, the constructor is its schema.

A method with helpers is a folder: `<kind>/method.py`, and its helpers beside it.

Schemas are read with `ast`, so that a config is checked without importing torch or awkward.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import reprlib
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from truthward.errors import ConfigError
from truthward.study import described
from truthward.study.schema import REQUIRED, Schema, literal, read
from truthward.study.values import matches, within

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


def class_name(kind: str) -> str:
    """`flow_matching` -> `FlowMatching`."""
    return "".join(word.capitalize() for word in kind.split("_"))


@cache
def kinds(package: str) -> tuple[str, ...]:
    """Names of the plug-ins of a folder: a file is a plug-in if it defines the class with its name."""
    folder = ROOT / package.replace(".", "/")
    names = {p.stem for p in folder.glob("*.py")} | {p.parent.name for p in folder.glob("*/method.py")}
    return tuple(sorted(n for n in names - NOT_PLUGINS if class_name(n) in described.classes(source(package, n))))


def source(package: str, kind: str) -> Path:
    """The file of a plug-in."""
    folder = ROOT / package.replace(".", "/")
    return path if (path := folder / kind / "method.py").is_file() else folder / f"{kind}.py"


def _class_of(package: str, kind: str) -> ast.ClassDef:
    if (node := described.classes(source(package, kind)).get(class_name(kind))) is None:
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
    found = read(_class_of(package, kind), source(package, kind), f"{package}.{kind}")
    _hold_against_contract(package, kind, found)
    return found


def _refuse_other_name(package: str, kind: str) -> None:
    """Raise ConfigError with the expected name of the class, if the file of the plug-in exists."""
    path = source(package, kind) if kind.isidentifier() else None
    if path is None or not path.is_file() or kind in NOT_PLUGINS:
        return
    if found := [name for name, node in described.classes(path).items() if node.bases]:
        where = path.relative_to(ROOT).as_posix()
        raise ConfigError(
            f"kind: {where} has no class {class_name(kind)}, it has {', '.join(found)}; name the "
            f"{CONTRACTS[package][1]} of kind {kind} {class_name(kind)}"
        )


def _hold_against_contract(package: str, kind: str, found: Schema) -> None:
    """Refuse a plug-in that lacks what its base class requires."""
    file, base = CONTRACTS[package]
    where = f"{package.replace('.', '/')}/{file}"
    contract = described.classes(ROOT / where)[base]
    if lacking := [name for name in literal(contract, "OPTIONS") or () if name not in found.keys]:
        raise ConfigError(
            f"kind: {class_name(kind)} has no option `{lacking[0]}`, but every {base} needs it ({where}); add it to "
            "the constructor, with a literal default"
        )
    states = literal(contract, "STATES") or ()
    if states and all(attribute(package, kind, name) is None for name in states):
        raise ConfigError(
            f"kind: {class_name(kind)} does not set {' or '.join(states)}, but every {base} must ({where}); set it in "
            "the class, as a literal"
        )


def attribute(package: str, kind: str, name: str) -> Any:
    """A literal that the class of a plug-in sets, such as `joint` of a method of unfolding; None if it sets none."""
    return literal(_class_of(package, kind), name)


def nearest(name: str, valid: Any) -> str:
    """` (did you mean 'x'?)`, or nothing."""
    close = difflib.get_close_matches(str(name), [str(v) for v in valid], n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def shown(value: Any) -> str:
    """A value for a message: in one short line."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother, short.maxlong = 3, 80, 80, 80
    return short.repr(value)


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
    for key, value in entry.items():
        if key in found.groups:
            _check_group(found, key, value, where)
        elif key != "kind":
            _check_option(found, key, value, where, [name for name in found.keys if name not in given])
    for option in found.required:
        if _given(entry, option) is REQUIRED and option not in given:
            raise ConfigError(f"{where}.{option}: {entry['kind']} needs this option")
    return found


def _check_group(found: Schema, group: str, value: Any, where: str) -> None:
    """Check the mapping that stands for a group of options."""
    valid = found.within(group)
    if not isinstance(value, dict):
        first = f"{group}.{valid[0]}"
        hint = f"; write {group}: {{{valid[0]}: {value}}}" if matches(value, found.options[first][0]) else ""
        raise ConfigError(
            f"{where}.{group}: {shown(value)} given, a mapping with some of {', '.join(valid)} is expected{hint}"
        )
    for name, inner in value.items():
        if place := found.moved.get(f"{group}.{name}"):
            raise ConfigError(
                f"{where}.{group}.{name}: this option of {found.kind} has moved to {place}; write {place}: {inner}"
            )
        if name not in valid:
            raise ConfigError(
                f"{where}.{group}.{name}: {group} of {found.kind} has no such option; valid: {', '.join(valid)}"
                f"{nearest(name, valid)}"
            )
        _check_value(found, f"{group}.{name}", inner, where)


def _check_option(found: Schema, option: str, value: Any, where: str, valid: list[str]) -> None:
    """Check an option that is in no group. One that has moved into a group is refused with its place."""
    if option not in valid:
        inside = [name for name in found.options if name.endswith(f".{option}")]
        if place := found.moved.get(option) or (inside or [""])[0]:
            group, _, name = place.partition(".")
            raise ConfigError(
                f"{where}.{option}: this option of {found.kind} has moved to {place}; write {group}: "
                f"{{{name}: {value}}}"
            )
        hint = nearest(option, valid)
        if not hint and (
            close := difflib.get_close_matches(option, [n.rpartition(".")[2] for n in found.options], n=1)
        ):
            place = next(name for name in found.options if name.endswith(f".{close[0]}"))
            hint = f" (did you mean {place!r}?)"
        raise ConfigError(f"{where}.{option}: {found.kind} has no such option; valid: {', '.join(valid)}{hint}")
    _check_value(found, option, value, where)


def _check_value(found: Schema, option: str, value: Any, where: str) -> None:
    annotation, bounds = found.options[option][0], found.bounds.get(option)
    if not matches(value, annotation):
        raise ConfigError(f"{where}.{option}: {shown(value)} given, {annotation} expected")
    if bounds and not within(value, bounds):
        raise ConfigError(f"{where}.{option}: {shown(value)} given, {annotation} {bounds} expected")


def _given(entry: dict[str, Any], option: str) -> Any:
    """What an entry says of an option, `REQUIRED` if it says nothing."""
    group, _, name = option.rpartition(".")
    return (entry.get(group, {}) if group else entry).get(name, REQUIRED)


def option(package: str, entry: dict[str, Any], name: str) -> Any:
    """What an entry says of an option, or its default; None if the plug-in has no such option.

    >>> option("unfold", {"kind": "omnifold"}, "stop.rule"), option("unfold", {"kind": "ibu"}, "stop.rule")
    ('fixed', None)
    """
    said = _given(entry, name)
    return schema(package, entry["kind"]).options.get(name, ("", None))[1] if said is REQUIRED else said


def model_kinds(entry: dict[str, Any]) -> list[tuple[str, str]]:
    """The plug-ins on which a model depends: itself, and its teacher if it has one.

    >>> model_kinds({"kind": "consistency", "teacher": {"kind": "bridge"}})
    [('models', 'consistency'), ('models', 'bridge')]
    """
    teacher = option("models", entry, "teacher")
    return [("models", entry["kind"]), *(model_kinds(teacher) if teacher else [])]


def build(package: str, entry: dict[str, Any], **given: Any) -> Any:
    """Construct the plug-in that `entry` names: `build("models", {"kind": "flow_matching", "width": 128})`."""
    found = check(package, entry, package, tuple(given))
    module = _module(source(package, entry["kind"]))
    options = {key: value for key, value in entry.items() if key not in ("kind", *found.groups)}
    for key, group in found.groups.items():
        fields = {name: option(package, entry, f"{key}.{name}") for name in found.within(key)}
        options[key] = getattr(_module(group.file), group.name)(**fields)
    return getattr(module, class_name(entry["kind"]))(**options, **given)


def _module(file: Path) -> ModuleType:
    return importlib.import_module(".".join(["truthward", *file.relative_to(ROOT).with_suffix("").parts]))
