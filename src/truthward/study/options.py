"""Every option of a config, with type, default, bounds and meaning: for `truthward options` and for the docs.

Sections are read from their schemas, plug-ins from their source: neither numpy nor torch is loaded.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from truthward.errors import ConfigError
from truthward.study import described, plugins
from truthward.study.config import Config
from truthward.study.schema import Schema
from truthward.study.strict import section_in

FOLDERS = {
    "physics.generators": ("samples.<name>.generate", "Generators of samples"),
    "events.readers": ("samples.<name>.read", "Readers of ROOT files"),
    "calibrate": ("calibrate", "Calibrators of the jet response"),
    "models": ("surrogate.models.<name>", "Generative models, also of the method `generative`"),
    "unfold": ("unfold.methods.<name>", "Methods of unfolding"),
}
"""Folder of plug-ins -> the key of the config that names one of them, and what they are."""

GIVEN = ("dimensions", "conditions")
"""Arguments of constructors that the program gives: they are no options of a config."""

NEEDED = "needed"
"""What stands for the default of an option that has none."""

_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


@dataclass(frozen=True)
class Option:
    """One option: the key above it, its name, and four texts. `bounds` is empty where there are none."""

    where: str
    name: str
    type: str
    default: str
    bounds: str
    meaning: str


@dataclass(frozen=True)
class Group:
    """The options of a section of the config or of a plug-in.

    Attributes:
        name: `publish`, or folder and kind of a plug-in: `unfold.omnifold`.
        where: the key of the config under which the options stand.
        folder: the folder of a plug-in, empty for a section.
        summary: what it is, in one line.
        options: in the order of the source.
    """

    name: str
    where: str
    folder: str
    summary: str
    options: tuple[Option, ...]


@cache
def sections() -> tuple[Group, ...]:
    """The sections of a config, in their order; keys that are a single value, such as `seed`, are groups of one."""
    found = []
    for option, model in _fields(Config, ""):
        rows = (option,) if model is None else tuple(_rows(model, f"{option.name}{_named(option)}"))
        found.append(Group(option.name, option.name, "", option.meaning, rows))
    return tuple(found)


@cache
def plugin(package: str, kind: str) -> Group:
    """The options of a plug-in.

    Raises:
        ConfigError: there is no such kind, see `plugins.schema`.
    """
    schema, path = plugins.schema(package, kind), plugins.source(package, kind)
    names = [name for name in schema.keys if name not in GIVEN]
    said = described.of_class(path, plugins.class_name(kind), names)
    where = FOLDERS[package][0]
    rows = []
    for name in names:
        if (group := schema.groups.get(name)) is None:
            rows.append(_option(schema, name, where, said))
            continue
        rows.append(Option(where, name, "section", "", "", said.get(name, "")))
        of_group = described.of_class(group.file, group.name, schema.within(name))
        rows += [_option(schema, f"{name}.{n}", where, {n: of_group.get(n, "")}) for n in schema.within(name)]
    return Group(f"{package}.{kind}", where, package, described.summary(described.of_module(path)), tuple(rows))


def _option(schema: Schema, name: str, where: str, said: Mapping[str, str]) -> Option:
    """One option of a plug-in, in a group or not; `said` has its meaning."""
    annotation, default = schema.options[name]
    shown = NEEDED if name in schema.required else _default(default)
    above, _, own = name.rpartition(".")
    place = f"{where}.{above}" if above else where
    return Option(place, own, _type(annotation), shown, schema.bounds.get(name, ""), said.get(own, ""))


def plugins_of(package: str) -> list[Group]:
    """All plug-ins of a folder."""
    return [plugin(package, kind) for kind in plugins.kinds(package)]


def everything() -> list[Group]:
    """All sections, then all plug-ins by folder."""
    return [*sections(), *(group for package in FOLDERS for group in plugins_of(package))]


def find(name: str) -> list[Group]:
    """The section or plug-in of a name; a kind may be given with or without its folder.

    Raises:
        ConfigError: there is none of this name; the message has the nearest one.
    """
    if not (found := [g for g in everything() if name in (g.name, g.name.rpartition(".")[2])]):
        valid = list(dict.fromkeys(g.name.rpartition(".")[2] for g in everything()))
        raise ConfigError(
            f"{plugins.shown(name)} is neither a section of a config nor a plug-in{plugins.nearest(name, valid)}; "
            f"valid: {', '.join(valid)}"
        )
    return found


def _rows(model: type[BaseModel], where: str) -> Iterator[Option]:
    """The options of a section, those of sections within it after it."""
    for option, inner in _fields(model, where):
        yield option
        if inner is not None:
            yield from _rows(inner, f"{where}.{option.name}{_named(option)}")


def _named(option: Option) -> str:
    """What follows the key of a section: entries of a mapping have names of their own."""
    return ".<name>" if option.type.startswith("mapping of names") else ""


def _fields(model: type[BaseModel], where: str) -> Iterator[tuple[Option, type[BaseModel] | None]]:
    """The fields of a schema, each with the schema of what stands under it, if it has one."""
    fields = {field.alias or name: (name, field) for name, field in model.model_fields.items()}
    said = described.meanings(model.__doc__, fields)
    for key, (name, field) in fields.items():
        inner = section_in(field.annotation)
        annotation = inspect.get_annotations(model).get(name, "Any")
        section = inner and field.default is not None
        default = NEEDED if field.is_required() else "" if section else _default(field.default)
        yield Option(where, key, _type(str(annotation)), default, _bounds(field), said.get(key, "")), inner


def _bounds(field: FieldInfo) -> str:
    limits = [(sign, getattr(m, name)) for m in field.metadata for name, sign in _SIGNS.items() if hasattr(m, name)]
    return " and ".join(f"{sign} {limit:g}" for sign, limit in limits)


def _default(value: Any) -> str:
    """A default as YAML has it.

    >>> _default(None), _default("gelu"), _default(""), _default([0.75, 0.98])
    ('null', 'gelu', '""', '[0.75, 0.98]')
    """
    return value if isinstance(value, str) and value else json.dumps(value)


_WORDS = {"Plugin": "{kind: ..., options}", "dict": "mapping", "Any": "any value", "None": "null", "Number": "float"}


def _type(annotation: str) -> str:
    """An annotation in the words of YAML.

    >>> _type("float | None"), _type('Literal["all", "last"]'), _type("tuple[float, ...]")
    ('float | null', 'all | last', 'list of float')
    >>> _type("dict[str, Sample]"), _type("tuple[float, float]"), _type("Amplify | None")
    ('mapping of names to section', '[float, float]', 'section | null')
    """
    return _words(ast.parse(annotation, mode="eval").body)


def _words(node: ast.expr) -> str:
    if isinstance(node, ast.BinOp):
        return f"{_words(node.left)} | {_words(node.right)}"
    if isinstance(node, ast.Subscript):
        outer = ast.unparse(node.value)
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if outer == "Literal":
            return " | ".join(str(ast.literal_eval(e)) for e in inner)
        if outer == "dict":
            return f"mapping of names to {_words(inner[-1])}"
        if outer == "list" or ast.unparse(inner[-1]) == "...":
            return f"list of {_words(inner[0])}"
        return f"[{', '.join(_words(e) for e in inner)}]"
    text = ast.unparse(node)
    plain = text in {"int", "float", "str", "bool"}
    return text if plain else _WORDS.get(text, "section")
