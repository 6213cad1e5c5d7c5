"""Simulation: collisions of a generator and the detector's answer, as ROOT files."""
