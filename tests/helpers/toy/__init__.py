"""Toy data, small enough to check by hand."""
