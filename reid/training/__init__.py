"""Training: losses, loop, checkpoints, validation, log."""
