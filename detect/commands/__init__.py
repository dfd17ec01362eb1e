"""The commands `detect`, `parts` and the detector checks of `doctor`."""
