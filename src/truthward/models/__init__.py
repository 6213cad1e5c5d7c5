"""Generative models: one file a model, all behind `base.GenerativeModel`."""
