"""Generative models of the simulation: trained, drawn from, corrected."""
