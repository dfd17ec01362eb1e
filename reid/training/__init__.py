"""Training: losses, loop, state, validation, log."""
