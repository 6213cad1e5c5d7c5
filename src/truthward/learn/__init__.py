"""Training: networks, the training loop, stacks of related trainings, checkpoints, scaling. No physics."""
