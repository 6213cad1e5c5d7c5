"""Figures: pure functions of what the stages' JSON artefacts hold. Each docstring states what it expects.

Histograms come as {"sum": [B], "error": [B]}, contents and standard deviations per bin, beside "edges" [B + 1]; a value
that could not be formed is None. Observables bring labels, units and scales.
"""

from truthward.plots.inputs import closure, data_over_simulation, pulls, response
from truthward.plots.models import amplification, marginals
from truthward.plots.page import summary_page
from truthward.plots.results import agreement, correlation, iterations
from truthward.plots.style import save

__all__ = [
    "agreement",
    "amplification",
    "closure",
    "correlation",
    "data_over_simulation",
    "iterations",
    "marginals",
    "pulls",
    "response",
    "save",
    "summary_page",
]
