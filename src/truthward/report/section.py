"""The section `report` of a config."""

from __future__ import annotations

from truthward.study.strict import Strict


class Report(Strict):
    """What stands above every figure, in words: the experiment, centre-of-mass energy and luminosity of the data."""

    experiment: str = ""
    energy: str = ""
    luminosity: str = ""
