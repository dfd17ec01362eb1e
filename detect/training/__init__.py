"""Training of the part detector, with MMEngine."""
