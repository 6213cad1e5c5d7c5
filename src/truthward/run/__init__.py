"""What surrounds a job: artefacts, checksums, digests, lock, resumed work, provenance, the cluster."""
