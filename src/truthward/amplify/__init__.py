"""Amplification: how many events a generated sample is worth, measured on a known target and stated for a surrogate."""
