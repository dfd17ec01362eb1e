"""Ray's queue against the fixed shares of torchrun."""
