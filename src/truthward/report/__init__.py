"""Figures. Each is a pure function of the JSON artefacts of the stages, whose types are in `records`.

A histogram is {"sum": [B], "error": [B]}: contents and standard deviations of B bins, with "edges" [B + 1] beside it.
A value that could not be formed is None. Observables have labels, units and scales. Nothing is imported here: an edit
of one figure redraws only that figure.
"""
