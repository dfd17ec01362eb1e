"""Slow, plain re-derivations of what the project computes."""
