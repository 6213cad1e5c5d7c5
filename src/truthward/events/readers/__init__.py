"""Readers: one module per file format; a new format is a new module."""
