"""The environment of a job: artefacts, checksums, digests, lock, resumed work, provenance, the cluster."""
