"""OmniFold: iterated re-weighting by classifiers in two steps."""
