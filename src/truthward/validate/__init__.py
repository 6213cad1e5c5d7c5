"""Validation of results: each figure of merit has its statistical floor beside it."""
