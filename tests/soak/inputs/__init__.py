"""Inputs for the fuzzer: what is read, and how it is mutated."""
