"""How generated events are dealt to seeds."""

BLOCK = 1000
"""Events of a generated sample that share a seed; a chunk is one block at least."""
