"""Commands for a terminal, beside the workflow. Nothing imports this package."""
