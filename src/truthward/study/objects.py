"""Collections of objects in a config: what the reader `objects` makes of branches. No file is opened here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from truthward.errors import ConfigError, nearest
from truthward.study.signatures import NUMBER
from truthward.study.strict import Strict
from truthward.study.syntax import Syntax

LEVELS = ("truth", "reco")
EVENTS = "events"
"""The value of `rows` for one row in each event."""
VECTOR = ("pt", "eta", "phi", "mass")
"""Fields of a four-vector, in GeV and radians."""
Text = str | int | float
WAYS = ({"owner"}, {"owner", "item"}, {"begin", "end"}, {"begin", "end", "item"}, {"items"}, {"refs", "key"})
"""The keys of a link that go together."""


class Cluster(Strict):
    """Jets that are clustered by fastjet from the selected objects of another collection at the same level.

    Attributes:
        of: that collection; it needs pt, eta, phi and mass.
        algorithm: antikt (0802.1189), cambridge (hep-ph/9707323) or kt (hep-ph/9305266).
        radius: of the jets. pt_min: smallest pt of a jet, GeV.
    """

    of: str
    algorithm: Literal["antikt", "cambridge", "kt"] = "antikt"
    radius: float = Field(gt=0)
    pt_min: float = Field(gt=0)


class Link(Strict):
    """How the constituents of an object are found. All keys are expressions over branches.

    Attributes:
        owner: list with the number of the object that each entry belongs to.
        item: list with the number of the constituent that each entry means; None where entries are constituents.
        begin, end: of each object, its first entry, and the one behind its last.
        items: of each object, the numbers of its constituents, or ATLAS's ElementLinks; a negative number, or a link to
            no container, means one that is not stored.
        refs: of each object, the references to its constituents (ROOT's TRefArray). key: their own fUniqueID.
    """

    owner: Text | None = None
    item: Text | None = None
    begin: Text | None = None
    end: Text | None = None
    items: Text | None = None
    refs: Text | None = None
    key: Text | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Link:
        given = {name for name, value in self if value is not None}
        if given not in WAYS:
            raise ValueError(
                f"{', '.join(sorted(given)) or 'nothing'} given; valid: owner (and item), begin and end (and item), "
                "items, or refs and key"
            )
        return self


class Constituents(Strict):
    """Particles of each object: field -> expression over branches, and how they are found.

    Attributes:
        fields: pt, eta, phi and any other. link: None where the branches hold lists for each object already.
    """

    fields: dict[str, Text]
    link: Link | None = None


class Side(Strict):
    """A collection at one level.

    Attributes:
        fields: field -> expression over branches, a list in each event; "*" gives the branch of any other field, such
            as `Jet_*`. where: condition on the fields; what fails it is no object of the collection and is not matched.
        cluster: makes the objects, in place of fields. constituents: their particles.
    """

    fields: dict[str, Text] = Field({})
    where: str | None = None
    cluster: Cluster | None = None
    constituents: tuple[Constituents, ...] = ()


class Match(Strict):
    """Which objects of the two levels belong together; give one of `delta_r`, `index` and `keys`.

    Attributes:
        delta_r: the largest distance in eta and phi; nearest pairs first.
        index: for each reco object the number of its truth object, negative for none.
        keys: {truth: ..., reco: ...}, expressions that are equal for objects that belong together.

    One truth object has one reco object at most: where several have its number or key, the nearest in delta R keeps it.
    """

    delta_r: float | None = Field(None, gt=0)
    index: Text | None = None
    keys: dict[Literal["truth", "reco"], Text] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Match:
        if sum(value is not None for _, value in self) != 1:
            raise ValueError("give exactly one of delta_r, index and keys")
        if self.keys is not None and len(self.keys) != 2:
            raise ValueError("keys needs both levels, truth and reco")
        return self


class Collection(Strict):
    """Objects of one kind, such as jets or muons.

    Attributes:
        truth, reco: a pattern such as `Jet_*`, or a mapping: field -> expression over branches, with the keys `where`,
            `cluster` and `constituents`. None where the collection does not exist at that level.
        select: condition on the fields of an object, for both levels or as {truth: ..., reco: ...}: who passes it is
            accepted. Objects are matched before.
        order: the accepted objects of an event fall in this quantity; None: as in the file.
        first: only so many of them are accepted. nth: only this one is, counted from 1.
        away_from: collection -> distance in eta and phi; an object nearer to an accepted one of it is not accepted.
        match: which objects belong together; for the collection whose pairs are the rows.
    """

    truth: Side | None = None
    reco: Side | None = None
    select: dict[Literal["truth", "reco"], str] = Field({})
    order: str | None = "pt"
    first: int | None = Field(None, ge=1)
    nth: int | None = Field(None, ge=1)
    away_from: dict[str, float] = Field({})
    match: Match | None = None

    @field_validator("truth", "reco", mode="before")
    @classmethod
    def _side(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"fields": {"*": value}}
        if not isinstance(value, Mapping):
            return value
        own = {name: value[name] for name in ("cluster", "where") if name in value}
        groups = value.get("constituents", ())
        groups = groups if isinstance(groups, list | tuple) else [groups]
        own["constituents"] = tuple(_group(each) for each in groups)
        own["fields"] = {k: v for k, v in value.items() if k not in ("cluster", "where", "constituents")}
        return own

    @field_validator("select", mode="before")
    @classmethod
    def _both(cls, value: Any) -> Any:
        return dict.fromkeys(LEVELS, value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> Collection:
        if self.truth is None and self.reco is None:
            raise ValueError("give the branches of a level, such as reco: Jet_*")
        if self.first is not None and self.nth is not None:
            raise ValueError("give only one of first and nth")
        if (self.first or self.nth) and self.order is None:
            raise ValueError("first and nth need an order, such as pt")
        for side in (self.truth, self.reco):
            if side is not None and bool(side.fields) == (side.cluster is not None):
                raise ValueError("give either fields or cluster at each level")
        return self

    @property
    def must_order(self) -> bool:
        """Whether `order` was asked for; if not, objects without pt stay as they are in the file."""
        return "order" in self.model_fields_set or self.first is not None or self.nth is not None

    def side(self, level: str) -> Side | None:
        """The collection at a level."""
        return self.truth if level == "truth" else self.reco

    def condition(self, level: str) -> str | None:
        """What an object has to pass at a level; None where all are accepted."""
        return self.select.get("truth" if level == "truth" else "reco")


def _group(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    own = {"link": value["link"]} if "link" in value else {}
    return {"fields": {k: v for k, v in value.items() if k != "link"}, **own}


def collections_of(content: Mapping[str, Any], rows: str, where: str = "collections") -> dict[str, Collection]:
    """The collections of an entry of a config, in the order in which they can be made.

    Args:
        rows: the collection whose pairs are the rows, or `EVENTS`.
        where: key of the mapping, for messages.

    Raises:
        ConfigError: a key that is not valid, text that is no expression, or collections that need each other.
    """
    found: dict[str, Collection] = {}
    for name, entry in content.items():
        if not str(name).isidentifier() or name == EVENTS:
            raise ConfigError(
                f"{where}.{name}: not a valid name of a collection; use letters, digits and _, not events"
            )
        try:
            found[name] = Collection.model_validate(entry)
        except ValidationError as error:
            raise ConfigError(f"{where}.{name}{_reason(error)}") from None
    if rows != EVENTS:
        if rows not in found:
            known = ", ".join(found) or "the collections, of which there are none"
            raise ConfigError(f"rows: {rows!r} is no collection; write events, or one of {known}")
        if found[rows].truth and found[rows].reco and found[rows].match is None:
            raise ConfigError(
                f"{where}.{rows}: its pairs are the rows, so it needs `match`, such as match: {{delta_r: 0.2}}"
            )
    for name, collection in found.items():
        _check_texts(collection, f"{where}.{name}")
    return _ordered(found, where)


def _reason(error: ValidationError) -> str:
    first = error.errors()[0]
    place = "".join(f".{part}" for part in first["loc"] if part not in ("fields",))
    text = first["msg"].removeprefix("Value error, ")
    known = ", ".join(n for n in Collection.model_fields)
    extra = f"; valid: {known}" if first["type"] == "extra_forbidden" and len(first["loc"]) == 1 else ""
    return f"{place}: {text[:1].lower()}{text[1:]}{extra}"


def _check_texts(collection: Collection, where: str) -> None:
    for level in LEVELS:
        if (side := collection.side(level)) is None:
            continue
        texts = {name: text for name, text in side.fields.items() if name != "*"}
        for number, group in enumerate(side.constituents):
            texts |= {f"constituents.{number}.{name}": text for name, text in group.fields.items() if name != "*"}
        for name, text in texts.items():
            _checked(text, f"{where}.{level}.{name}")
        if side.where is not None:
            _condition(side.where, f"{where}.{level}.where")
    for level, text in collection.select.items():
        _condition(text, f"{where}.select.{level}")
    others: dict[str, Text | None] = {"order": collection.order}
    if (match := collection.match) is not None:
        others |= {"match.index": match.index} | {f"match.keys.{k}": v for k, v in (match.keys or {}).items()}
    for name, each in others.items():
        if each is not None:
            _checked(each, f"{where}.{name}")


def _condition(text: str, where: str) -> None:
    if _checked(text, where).kind == NUMBER:
        raise ConfigError(f"{where}: {text!r} is a number; write a condition such as pt > 20")


def _checked(text: Text, where: str) -> Syntax:
    try:
        return Syntax(text)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _ordered(found: dict[str, Collection], where: str) -> dict[str, Collection]:
    """Each collection behind those that it needs."""
    done: dict[str, Collection] = {}
    while len(done) < len(found):
        before = len(done)
        for name, collection in found.items():
            needs = set(collection.away_from)
            needs |= {s.cluster.of for s in (collection.truth, collection.reco) if s is not None and s.cluster}
            if unknown := sorted(needs - set(found)):
                raise ConfigError(f"{where}.{name}: no collection {unknown[0]}; {nearest(unknown[0], found)}")
            if name not in done and needs <= set(done):
                done[name] = collection
        if len(done) == before:
            circle = ", ".join(sorted(set(found) - set(done)))
            raise ConfigError(f"{where}: {circle} need each other (`away_from`, `cluster`); remove one of these keys")
    return done
