"""Calibration: the jet's response with its uncertainties, learned on the simulation and applied to all samples."""
