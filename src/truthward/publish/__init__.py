"""The publication: truth-level events with weights and replicas, and all information for their use (2109.13243)."""
