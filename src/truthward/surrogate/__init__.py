"""Generative models of the simulation: training, sampling and correction."""
