"""Stress tests: pseudo-data of known truth that are built to break a method."""
