"""Which branches the expressions over collections need."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping

from truthward.errors import InputError, nearest
from truthward.events.expression import Expression
from truthward.events.join import Trees
from truthward.events.survey import Survey
from truthward.study.objects import VECTOR, Collection, Constituents, Side, Text


def source(fields: Mapping[str, Text], name: str) -> Text | None:
    """The expression of a field, from its own key or from the pattern; None where neither is there."""
    if name in fields:
        return fields[name]
    pattern = fields.get("*")
    return None if pattern is None else quoted(str(pattern).replace("*", name))


def quoted(branch: str) -> str:
    """A branch as an expression: in backticks where its name has other characters than letters, digits and _."""
    return branch if branch.isidentifier() else f"`{branch}`"


def attributes(expression: Expression) -> set[str]:
    """Fields that an expression takes of objects by a dot, such as btag in `jets[0].btag`."""
    return {node.attr for node in ast.walk(expression.tree) if isinstance(node, ast.Attribute)}


class Needed:
    """The branches of all collections that the columns of a table use.

    Args:
        collections: name -> collection. survey: what the files have.

    Attributes:
        branches: branch -> what it is needed for.
        fields: (collection, level) -> the fields that are used.
    """

    def __init__(self, collections: Mapping[str, Collection], survey: Survey | Trees) -> None:
        self.collections, self.survey = collections, survey
        self.branches: dict[str, str] = {}
        self.fields: dict[tuple[str, str], set[str]] = {}

    def column(self, column: str, expression: Expression, level: str | None) -> None:
        """Note what a column needs."""
        why = f"{column}: {expression.text}"
        for name in sorted(expression.names):
            head, _, rest = name.partition(".")
            if head not in self.collections:
                self._branch(name, why)
            elif level is None:
                raise InputError(
                    f"branches.{column}: {head} is a collection, which has objects at each level; name a branch, or "
                    "use it in a column truth_ or reco_"
                )
            elif rest:
                self.field(head, level, rest, why)
            else:
                self.whole(head, level, attributes(expression), why)

    def whole(self, name: str, level: str, more: Iterable[str], why: str) -> None:
        """Note objects as four-vectors, with further fields where the collection has them."""
        for each in (*VECTOR, *sorted(more)):
            # The three components that every four-vector needs are required, all others are taken where they are.
            if each in VECTOR[:3] or self.has(name, level, each):
                self.field(name, level, each, why)
        self.make(name, level, why)

    def field(self, name: str, level: str, wanted: str, why: str) -> None:
        """Note one field of a collection."""
        self.make(name, level, why)
        kept = self.fields[name, level]
        if wanted in kept:
            return
        kept.add(wanted)
        side = self._side(name, level, why)
        if side.cluster is not None:
            if not wanted.startswith("constituents.") and wanted not in VECTOR:
                raise InputError(f"collections.{name}.{level}: a clustered jet has no field {wanted}, needed for {why}")
            self.whole(side.cluster.of, level, [wanted.removeprefix("constituents.")], why)
            return
        if wanted.startswith("constituents."):
            self._constituents(side.constituents, name, level, wanted.removeprefix("constituents."), why)
            return
        text = source(side.fields, wanted)
        if text is None:
            raise InputError(
                f"collections.{name}.{level}: no field {wanted}, needed for {why}; "
                f"{nearest(wanted, side.fields)}; add it, or a pattern such as '*': Jet_*"
            )
        self._text(text, f"{why} ({name}.{wanted} at {level} level)")
        if not Expression(text).names and not any(Expression(t).names for n, t in side.fields.items() if n != "*"):
            # A number is that of every object: the pattern says how many there are.
            self.field(name, level, "pt", why)

    def make(self, name: str, level: str, why: str) -> None:
        """Note what decides which objects are accepted."""
        side = self._side(name, level, why)
        if (name, level) in self.fields:
            return
        self.fields[name, level] = set()
        collection = self.collections[name]
        texts = [side.where, collection.condition(level)]
        if collection.order is not None and (collection.must_order or self.has(name, level, collection.order)):
            texts.append(collection.order)
        if collection.away_from:
            texts += ["eta", "phi"]
        for text in texts:
            if text is not None:
                self.inner(name, level, text, f"the selection of {name}")
        for other in collection.away_from:
            if self.collections[other].side(level) is not None:
                for each in ("eta", "phi"):
                    self.field(other, level, each, f"collections.{name}.away_from")
        if side.cluster is None and not self.fields[name, level]:
            self.field(name, level, next((n for n in side.fields if n != "*"), "pt"), why)
        if side.cluster is not None:
            self.whole(side.cluster.of, level, (), why)

    def inner(self, name: str, level: str, text: Text, why: str) -> None:
        """Note an expression over the fields of one collection, and over branches."""
        for each in sorted(Expression(text).names):
            if self.is_field(name, level, each):
                self.field(name, level, each, why)
            else:
                self._branch(each, why)

    def is_field(self, name: str, level: str, wanted: str) -> bool:
        """Whether a name in a selection means a field of the collection; if not, it is a branch."""
        side = self._side(name, level, "")
        return wanted in side.fields or side.cluster is not None or self.has(name, level, wanted)

    def has(self, name: str, level: str, wanted: str) -> bool:
        """Whether a collection has a field: one that is named, or a branch of its pattern that exists."""
        side = self._side(name, level, "")
        if side.cluster is not None:
            return wanted in VECTOR
        text = source(side.fields, wanted)
        if text is None or wanted in side.fields:
            return text is not None
        return all(self.survey.has(each, f"field {wanted} of {name}") for each in Expression(text).names)

    def exists(self, name: str, level: str) -> bool:
        """Whether the files have the objects of a collection at a level: data have none at truth level."""
        side = self._side(name, level, "")
        fields = [n for n in side.fields if n != "*"] or [n for n in VECTOR if self.has(name, level, n)]
        texts = [source(side.fields, n) for n in fields]
        names = {n for text in texts if text is not None for n in Expression(text).names}
        return bool(names) and all(self.survey.has(n, "simulation has truth, data has none") for n in sorted(names))

    def _constituents(self, groups: Iterable[Constituents], name: str, level: str, wanted: str, why: str) -> None:
        groups = list(groups)
        if not groups:
            raise InputError(
                f"collections.{name}.{level}: no constituents, needed for {why}; add `constituents: {{pt: ..., eta: "
                "..., phi: ..., link: ...}`"
            )
        for group in groups:
            text = source(group.fields, wanted)
            if text is None:
                raise InputError(f"collections.{name}.{level}.constituents: no field {wanted}, needed for {why}")
            self._text(text, why)
            for link in _links(group):
                self._text(link, f"{why} (link of the constituents)")

    def _side(self, name: str, level: str, why: str) -> Side:
        side = self.collections[name].side(level)
        if side is None:
            raise InputError(f"collections.{name}: it has no {level} level, needed for {why}; add `{level}:`")
        return side

    def _text(self, text: Text, why: str) -> None:
        for name in sorted(Expression(text).names):
            self._branch(name, why)

    def _branch(self, name: str, why: str) -> None:
        if name not in self.branches:
            self.survey.require([name], why)
            self.branches[name] = why


def _links(group: Constituents) -> Iterator[Text]:
    return iter(()) if group.link is None else (value for _, value in group.link if value is not None)
