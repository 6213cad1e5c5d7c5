"""Unfolding for the LHC: from simulated collisions to an unfolded, validated, published result."""

__version__ = "0.1.0"
