"""Collisions, detector, jets and their observables."""
