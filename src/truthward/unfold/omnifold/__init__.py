"""OmniFold: the two steps of classifier re-weighting."""
