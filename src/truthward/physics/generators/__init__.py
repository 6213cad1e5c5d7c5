"""Generators of events at truth and detector level; one file for each kind."""
