"""Shared by tests: toy data, naive re-derivations, commands on toy data, faults, a browser."""
