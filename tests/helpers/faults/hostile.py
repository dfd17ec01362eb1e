"""Paths of files that a user may give in place of what is wanted."""

from soak.fuzz import TARGETS

FILES = [(name, file) for name, target in TARGETS.items() for file in target.spoilt or sorted(target.make())]
