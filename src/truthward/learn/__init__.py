"""Training: networks, the one loop, stacks of related trainings, checkpoints, scaling. No physics."""
