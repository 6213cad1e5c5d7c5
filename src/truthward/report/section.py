"""The section `report` of a config."""

from __future__ import annotations

from truthward.study.strict import Strict


class Report(Strict):
    """The words above every figure.

    Attributes:
        experiment: name of the experiment.
        energy: centre-of-mass energy with its unit.
        luminosity: integrated luminosity of the data with its unit.
    """

    experiment: str = ""
    energy: str = ""
    luminosity: str = ""
