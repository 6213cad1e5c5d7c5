"""The section `compare` of a config, and the entries of a file of predictions for `truthward compare`."""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationError, field_validator

from truthward.errors import ConfigError, nearest
from truthward.study.strict import Plugin, Strict


class Jets(Strict):
    """Jets of the particles of an event file.

    Attributes:
        radius: of the anti-kT jets.
        min_pt: smallest pt of a jet, GeV.
        eta_max: largest |eta| of a clustered particle.
        invisible: PDG codes, without sign, of particles that are not clustered.
    """

    radius: float = Field(0.4, gt=0)
    min_pt: float = Field(20.0, gt=0)
    eta_max: float = Field(5.0, gt=0)
    invisible: tuple[int, ...] = (12, 14, 16)

    @field_validator("invisible", mode="before")
    @classmethod
    def _codes(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


class Entry(Strict):
    """One prediction of a file of predictions.

    Attributes:
        file: path or glob of its files, or a list; relative to the file of predictions.
        tree: name of the TTree or RNTuple; None for the only one.
        columns: observable, `weight` or `pass_truth` -> expression over branches, columns or particles.
        select: condition over the same; None takes all events.
        jets: of event files with particles (HepMC3, LHE).
        histograms: observable -> path of its object in a YODA file, or name of its table in a HEPData submission.
        density: whether the values of points and tables are divided by the width of their bins.
        scale: factor on weights and contents, to the units of the publication.
    """

    file: str | list[str]
    tree: str | None = None
    columns: dict[str, str | int | float] = Field({})
    select: str | None = None
    jets: Jets = Jets()
    histograms: dict[str, str] = Field({})
    density: bool = True
    scale: float = Field(1.0, gt=0)

    @property
    def files(self) -> list[str]:
        """Paths and globs."""
        return [self.file] if isinstance(self.file, str) else self.file


def entry_from(content: Any, where: str) -> Entry:
    """An entry of a file of predictions.

    Args:
        where: file and name of the entry, for the message.

    Raises:
        ConfigError: a key is unknown, missing, or of another type.
    """
    if not isinstance(content, dict):
        raise ConfigError(f"{where}: a mapping with `file:` is expected, got {type(content).__name__}")
    try:
        return Entry.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"] if not isinstance(part, int))
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"{where}.{key}: no such key; {nearest(key, Entry.model_fields)}") from None
        raise ConfigError(f"{where}.{key}: {first['msg'][0].lower()}{first['msg'][1:]}") from None


class Prediction(Strict):
    """A prediction of a study: truth-level events of another generator or theory.

    Attributes:
        read: reader of its files, a kind and its options; only truth columns are used.
        label: its name in the figure; empty for the key.
    """

    read: Plugin
    label: str = ""


class Compare(Strict):
    """Predictions that the published result is compared with.

    Attributes:
        predictions: name -> prediction.
        absolute: compare yields as well; by default only shapes are compared.
    """

    predictions: dict[str, Prediction] = Field(min_length=1)
    absolute: bool = False
