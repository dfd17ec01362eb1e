"""Weights of other programs: read without running their code, found inside wrappers, matched by name."""
