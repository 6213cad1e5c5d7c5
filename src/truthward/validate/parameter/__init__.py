"""A parameter of the theory, fitted to an unfolded observable."""
