"""The schema of a plug-in, read from its source: neither numpy nor torch is loaded.

An option is a keyword-only argument of the constructor, with a literal default. Options that belong together are the
fields of a frozen dataclass, which the plug-in's file imports or defines; the constructor takes an instance of it:

    network: NetworkOptions = NetworkOptions(width=32)

In the config they are a mapping, `network: {width: 64}`; in the schema they are `network.width` and so on.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from truthward.errors import ConfigError
from truthward.study import described
from truthward.study.values import unknown

REQUIRED = object()
"""Stands for the default of an option that must be given."""


@dataclass(frozen=True)
class Group:
    """Options that belong together: the class of which they are the fields, and the file of this class."""

    file: Path
    name: str


@dataclass(frozen=True)
class Schema:
    """What a plug-in takes and provides.

    Attributes:
        kind: name of the plug-in.
        options: option -> annotation and default; the options of a group have its name before theirs, `network.width`.
        groups: key of the config -> the group that stands there.
        required: options without a default.
        provides: observables at both levels. provides_truth: those at truth level only.
        provides_from: the option that names the observables.
        particle_level: which particles are stable.
        bounds: such as {"folds": "= 0 or >= 2"}.
        moved: former name of an option -> its place.
    """

    kind: str
    options: dict[str, tuple[str, Any]]
    required: tuple[str, ...]
    provides: tuple[str, ...]
    provides_from: str | None
    provides_truth: tuple[str, ...] = ()
    particle_level: str = ""
    bounds: dict[str, str] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)

    @property
    def keys(self) -> list[str]:
        """What an entry of the config may have beside `kind`: options and groups, in the order of the source."""
        return list(dict.fromkeys(name.partition(".")[0] for name in self.options))

    def within(self, group: str) -> list[str]:
        """Names of the options of a group, without the name of the group."""
        return [name.removeprefix(f"{group}.") for name in self.options if name.startswith(f"{group}.")]


def read(node: ast.ClassDef, file: Path, where: str) -> Schema:
    """Read the schema of a class.

    Args:
        node: the class. file: where it stands. where: name of the plug-in, for messages.

    Raises:
        ConfigError: a constructor with positional arguments, a default or an attribute that is not literal, bounds of
            an option that does not exist.
    """
    options: dict[str, tuple[str, Any]] = {}
    groups: dict[str, Group] = {}
    bounds = _bounds(node)
    for name, annotation, default in _arguments(node, where):
        if (group := _group(annotation, file)) is None:
            options[name] = annotation, REQUIRED if default is None else _value(default, f"{where}.{name}")
            continue
        groups[name] = group
        inner = described.classes(group.file)[group.name]
        options |= _fields(inner, name, default, where)
        bounds |= {f"{name}.{option}": bound for option, bound in _bounds(inner).items()}
    if odd := [name for name in bounds if name not in options]:
        raise ConfigError(f"{where}.BOUNDS: {odd[0]} is no option; valid: {', '.join(options)}")
    for name, (annotation, _) in options.items():
        if odd_type := unknown(annotation):
            raise ConfigError(
                f"{where}.{name}: its annotation has {odd_type}, against which no value can be checked; write int, "
                "float, str, bool, list, dict, Literal, Any or None, or import a frozen dataclass of options"
            )
    return Schema(
        where.rpartition(".")[2],
        {name: (text, None if default is REQUIRED else default) for name, (text, default) in options.items()},
        tuple(name for name, (_, default) in options.items() if default is REQUIRED),
        tuple(literal(node, "PROVIDES") or ()),
        literal(node, "PROVIDES_FROM"),
        tuple(literal(node, "PROVIDES_TRUTH") or ()),
        literal(node, "PARTICLE_LEVEL") or "",
        bounds,
        groups,
        dict(literal(node, "MOVED") or ()),
    )


def literal(node: ast.ClassDef, name: str) -> Any:
    """The literal value of a class attribute, None if the class does not set it."""
    for item in node.body:
        targets = item.targets if isinstance(item, ast.Assign) else [getattr(item, "target", None)]
        value = getattr(item, "value", None)
        if any(isinstance(t, ast.Name) and t.id == name for t in targets) and value is not None:
            return ast.literal_eval(value)
    return None


def _arguments(node: ast.ClassDef, where: str) -> Iterator[tuple[str, str, ast.expr | None]]:
    """Name, annotation and default of each argument of the constructor."""
    for item in node.body:
        if not isinstance(item, ast.FunctionDef) or item.name != "__init__":
            continue
        if len(item.args.args) > 1 or item.args.vararg or item.args.kwarg:
            raise ConfigError(f"{where}: options must be keyword-only, without *args or **kwargs")
        for argument, default in zip(item.args.kwonlyargs, item.args.kw_defaults, strict=True):
            yield argument.arg, ast.unparse(argument.annotation) if argument.annotation else "Any", default


def _group(annotation: str, file: Path) -> Group | None:
    """The group of options that an annotation names, None if it names a type of Python."""
    place = described.place(file, annotation) if annotation.isidentifier() else None
    return Group(place, annotation) if place else None


def _fields(node: ast.ClassDef, group: str, default: ast.expr | None, where: str) -> dict[str, tuple[str, Any]]:
    """The options of a group; the default of the constructor's argument may change the defaults of its fields."""
    changed = {word.arg: word.value for word in default.keywords} if isinstance(default, ast.Call) else {}
    found = {}
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            name = item.target.id
            value = changed.get(name, item.value)
            said = f"{where}.{group}.{name}"
            found[f"{group}.{name}"] = ast.unparse(item.annotation), REQUIRED if value is None else _value(value, said)
    return found


def _value(node: ast.expr, where: str) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise ConfigError(
            f"{where}: the default of this option is not a literal; write a number, text, True, False, None, or a list "
            "or mapping of them"
        ) from error


def _bounds(node: ast.ClassDef) -> dict[str, str]:
    """Option -> its bounds: the class has pairs of a bound and of names, separated by spaces."""
    return {name: bound for bound, names in literal(node, "BOUNDS") or () for name in names.split()}
