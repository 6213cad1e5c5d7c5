"""Density ratios: learned by classifiers, turned into weights, and checked."""
