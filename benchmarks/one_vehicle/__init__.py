"""The time of one answer."""
