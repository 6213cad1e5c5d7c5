"""Validation of a method: against the truth if it is known, refolded against the data, and the verdict."""
