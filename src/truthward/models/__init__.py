"""Generative models: one file for each model, all with the interface `base.GenerativeModel`."""
