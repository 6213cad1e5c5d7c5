"""Fit a parameter of the theory to an unfolded observable."""
