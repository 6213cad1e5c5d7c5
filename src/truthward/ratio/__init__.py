"""Classifiers as density ratios."""
