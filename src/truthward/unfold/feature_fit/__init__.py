"""Re-weighting by a few learned features of the truth, fitted to the data."""
