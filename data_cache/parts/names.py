"""The 16 vehicle parts of the paper, in the label order of its Table 4, row by row."""

PART_NAMES: tuple[str, ...] = (
    "annual service signs",
    "back mirror",
    "car light",
    "carrier",
    "car topwindow",
    "entry license",
    "hanging",
    "lay ornament",
    "light cover",
    "logo",
    "newer sign",
    "tissuebox",
    "plate",
    "safe belt",
    "wheel",
    "wind-shield glass",
)
