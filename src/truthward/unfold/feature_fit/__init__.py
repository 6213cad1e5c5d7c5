"""Re-weighting by a few features of the truth, fitted to the data."""
