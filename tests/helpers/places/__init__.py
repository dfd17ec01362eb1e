"""A toy set with its outputs, and the commands run on them."""
