"""The section `publish` of a config."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from truthward.study.strict import Strict


class Publish(Strict):
    """What is published, under which licence, and which unused observable or expression the example shows; None for the
    first that was unfolded.

    require: the verdict that the method needs at least; what does not reach it ends the run.
    luminosity: of the data, per fb: the tables then hold cross sections in fb, and yields without it.
    particle_level: which particles are stable at truth level, in words; generated samples know it themselves.
    """

    method: str
    licence: str
    fiducial: str
    example: str | None = Field(None, min_length=1)
    luminosity: float | None = Field(None, gt=0)
    particle_level: str | None = None
    require: Literal["good", "warnings", "none"] = "warnings"
