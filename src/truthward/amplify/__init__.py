"""Amplification: the worth in events of a generated sample, measured on a known target and stated for a surrogate."""
