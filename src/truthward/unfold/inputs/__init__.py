"""What all methods are given: events, background, totals, variations."""
