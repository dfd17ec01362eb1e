"""A page on this machine to search a gallery in: what it knows, what it answers, and who may ask."""
