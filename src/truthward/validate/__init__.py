"""How well a result did, each figure beside its floor."""
