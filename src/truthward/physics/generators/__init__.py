"""Generators of events with truth and detector level; one file a kind."""
