"""Model uncertainties as weights of simulated events: another simulation, the data, hidden quantities."""
