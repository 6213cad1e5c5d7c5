"""Rules that end the iterations."""
