"""The commands `detect`, `parts` and `doctor`."""
