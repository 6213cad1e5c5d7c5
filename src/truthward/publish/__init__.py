"""The publication: truth-level events with weights and replicas, and all that their use needs (2109.13243)."""
