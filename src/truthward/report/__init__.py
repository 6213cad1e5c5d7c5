"""Figures: pure functions of what the stages' JSON artefacts hold. Each docstring states what it expects.

Histograms come as {"sum": [B], "error": [B]}, contents and standard deviations per bin, beside "edges" [B + 1]; a value
that could not be formed is None. Observables bring labels, units and scales. Nothing is imported here, so that an edit
to one figure redraws that figure and no other.
"""
