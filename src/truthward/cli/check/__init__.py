"""`truthward check`: test whether a study can run here, before it is started. Nothing imports this package."""
