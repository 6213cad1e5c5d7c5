"""The section `publish` of a config."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from truthward.study.strict import Strict


class Hepdata(Strict):
    """Words of the submission to HEPData, by which it is found and read.

    Attributes:
        reactions: such as "P P --> Z0 JET X", in the notation of HEPData.
        energies: centre-of-mass energies, GeV.
        phrases: further phrases to search for.
        qualifiers: name -> text or number, stated beside every column, such as `"ABS(ETARAP(JET))": "< 3"`.
    """

    reactions: tuple[str, ...] = ()
    energies: tuple[float, ...] = ()
    phrases: tuple[str, ...] = ()
    qualifiers: dict[str, str | float] = Field({})

    @field_validator("reactions", "energies", "phrases", mode="before")
    @classmethod
    def _tuples(cls, value: Any) -> Any:
        return tuple(float(v) if isinstance(v, int) else v for v in value) if isinstance(value, list) else value

    @field_validator("reactions", "phrases")
    @classmethod
    def _short(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if long := [text for text in value if len(text) > 128]:
            raise ValueError(f"{long[0][:40]!r}... has {len(long[0])} characters; HEPData takes 128 at most")
        return value


class Publish(Strict):
    """The published result, its licence and its example.

    Attributes:
        method: name of the method of `unfold.methods` whose result is published.
        licence: licence of the published files, by its SPDX name such as CC-BY-4.0.
        fiducial: the fiducial region in words.
        example: an observable or expression that was not unfolded. The example of the publication makes a histogram of
            it. None takes the first unfolded observable.
        luminosity: of the data, per fb. The tables then have cross sections in fb. None: they have yields.
        particle_level: which particles are stable at truth level, in words; not needed for generated samples.
        hepdata: words of the submission to HEPData.
        require: the worst verdict that may be published; a worse result ends the run.
    """

    method: str
    licence: str
    fiducial: str
    example: str | None = Field(None, min_length=1)
    luminosity: float | None = Field(None, gt=0)
    particle_level: str | None = None
    hepdata: Hepdata = Hepdata()
    require: Literal["good", "warnings", "none"] = "warnings"
