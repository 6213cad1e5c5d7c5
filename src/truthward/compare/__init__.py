"""Predictions against a publication: chi2 with its full covariance, and an unbinned test of all observables."""
