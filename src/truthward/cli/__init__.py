"""What is run beside the chain, in a terminal. Nothing imports this package."""
