"""Validation of results. Each figure of merit comes with its statistical floor."""
