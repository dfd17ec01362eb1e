"""The 16 vehicle parts of the paper, in the label order of its Table 4, and the file name of their cache."""

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

VARYING_PARTS: tuple[str, ...] = (  # in these, vehicles of one model and colour differ
    "annual service signs",
    "carrier",
    "car topwindow",
    "entry license",
    "hanging",
    "lay ornament",
    "newer sign",
    "tissuebox",
    "safe belt",
)

CACHE_FILE = "parts.h5"  # the part cache of a data set, in RUNS/DATASET
