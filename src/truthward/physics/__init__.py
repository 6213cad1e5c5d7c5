"""Collisions, detector, jets and the observables of jets."""
