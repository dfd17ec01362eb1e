"""Training a part detector on MMEngine."""
