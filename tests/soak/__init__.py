"""Faults for as long as one likes: what `make test` tries for a moment, tried for hours."""
