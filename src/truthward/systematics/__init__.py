"""What the simulation may have wrong, as weights of its events: another simulation, the data, hidden quantities."""
