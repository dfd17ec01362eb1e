"""A rendered data set on disk: its settings, its shots, its layout, and writing it."""
