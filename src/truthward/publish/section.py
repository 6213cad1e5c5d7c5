"""The section `publish` of a config."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from truthward.study.strict import Strict


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
        require: the worst verdict that may be published; a worse result ends the run.
    """

    method: str
    licence: str
    fiducial: str
    example: str | None = Field(None, min_length=1)
    luminosity: float | None = Field(None, gt=0)
    particle_level: str | None = None
    require: Literal["good", "warnings", "none"] = "warnings"
