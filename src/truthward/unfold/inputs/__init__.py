"""The inputs of all methods: events, background, totals, variations."""
