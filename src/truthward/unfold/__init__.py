"""Unfolding: one method per file; each returns one weighted truth-level sample with replicas."""
