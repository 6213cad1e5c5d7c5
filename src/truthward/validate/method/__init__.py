"""Validation of a method: comparison with a known truth, refolding to the data, and the verdict."""
