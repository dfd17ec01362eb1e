"""Sizes of the four benchmarks, according to their released lists and to the PGAN paper.

Released: the web pages and list files of the data sets (VehicleID: the README of its archive; VERI-Wild's small test:
counted in the released lists, the sum of its parts). Paper: arXiv 1909.06023, section 4.1; its numbers for VehicleID
are those of CVPR 2016, before the authors removed vehicles with false plates, and its 41,816 for VERI-Wild's small test
has two digits swapped. Keys are `train`, a test, the query or gallery of a test, or `all`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """Counts of images, vehicles and cameras; None if the source does not give it."""

    images: int | None = None
    vehicles: int | None = None
    cameras: int | None = None


Sizes = dict[str, Size]

RELEASED: dict[str, Sizes] = {
    "veri": {
        "train": Size(37_778, 576, 20),
        "test query": Size(1_678, 200),
        "test gallery": Size(11_579, 200, 19),
        "track query": Size(1_678, 200),
        "all": Size(51_035, 776, 20),  # every query is a copy of a gallery image: 49,357 pictures
    },
    "vehicleid": {
        "train": Size(113_346, 13_164),
        "small": Size(6_493, 800),
        "small query": Size(5_693),
        "small gallery": Size(800, 800),
        "medium": Size(13_377, 1_600),
        "medium query": Size(11_777),
        "medium gallery": Size(1_600, 1_600),
        "large": Size(19_777, 2_400),
        "large query": Size(17_377),
        "large gallery": Size(2_400, 2_400),
    },
    "vric": {
        "train": Size(54_808, 2_811),
        "test": Size(5_622, 2_811),
        "test query": Size(2_811, 2_811),
        "test gallery": Size(2_811, 2_811),
        "all": Size(60_430, 5_622, 60),
    },
    "veriwild": {
        "train": Size(277_797, 30_671),
        "small": Size(41_861, 3_000),
        "small query": Size(3_000, 3_000),
        "small gallery": Size(38_861, 3_000),
        "medium": Size(69_389, 5_000),
        "medium query": Size(5_000, 5_000),
        "medium gallery": Size(64_389),
        "large": Size(138_517, 10_000),
        "large query": Size(10_000, 10_000),
        "large gallery": Size(128_517),
        "all": Size(416_314, 40_671, 174),
    },
}

PAPER: dict[str, Sizes] = {
    "veri": {
        "train": Size(37_778, 576),
        "test gallery": Size(11_579, 200),
        "all": Size(None, 776, 20),  # "about 50,000" images
    },
    "vehicleid": {
        "train": Size(110_178, 13_134),
        "small": Size(7_332, 800),
        "medium": Size(12_995, 1_600),
        "large": Size(20_038, 2_400),
    },
    "vric": {"train": Size(54_808, 2_811), "test": Size(5_622, 2_811), "all": Size(60_430, 5_622, 60)},
    "veriwild": {
        "train": Size(277_797, 30_671),
        "small": Size(41_816, 3_000),
        "medium": Size(69_389, 5_000),
        "large": Size(138_517, 10_000),
        "all": Size(416_314, 40_671, 174),
    },
}

# remedies for missing images that say more than where to put them
REMEDIES = {
    "veriwild": "its archive has 23 parts, without some of which only 39,385 of the 40,671 folders are unpacked: "
    "download all parts and unpack them again",
}
