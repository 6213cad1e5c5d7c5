"""Generative unfolding: p(truth | reco) with the prior removed."""
