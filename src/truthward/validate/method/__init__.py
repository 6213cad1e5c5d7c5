"""How well a method did: against the truth where it is known, folded back where it is not, and its verdict."""
