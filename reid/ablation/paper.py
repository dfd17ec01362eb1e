"""What the paper prints (arXiv 1909.06023, Tables 1, 2, 3 and 5), in percent, as it stands there.

Tables 1, 2, 5 and Figure 3 are of VeRi-776. The text gives no values of Figure 3 beyond those of Tables 1 and 2.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Printed:
    """Figures of one row of a table of the paper, in percent; None where the table does not have them."""

    mAP: float | None = None
    top1: float | None = None
    top5: float | None = None


MEASURED_ON = {"veri": "VeRi-776", "vehicleid": "VehicleID, large", "vric": "VRIC", "veriwild": "VERI-Wild, large"}

TABLE_1 = {
    "baseline": Printed(75.7, 95.2, 98.2),
    "f": Printed(77.7, 95.9, 98.5),
    "f+g": Printed(78.0, 95.1, 97.7),
    "f+p": Printed(78.5, 95.8, 98.3),
    "f+g+p": Printed(79.3, 96.5, 98.3),
}

TABLE_2 = {  # by the feature's dimension, 2C'
    256: {
        "grid": Printed(76.1, 95.3, 97.7),
        "pgan_no_pam": Printed(77.9, 95.6, 98.4),
        "pgan": Printed(78.6, 95.4, 98.0),
    },
    512: {
        "grid": Printed(77.0, 95.8, 98.0),
        "pgan_no_pam": Printed(78.0, 95.5, 98.2),
        "pgan": Printed(79.3, 96.5, 98.3),
    },
}

TABLE_3 = {  # the paper's own four rows
    "veri": {
        "baseline": Printed(75.7, 95.2),
        "grid": Printed(77.0, 95.8),
        "pgan_no_pam": Printed(78.0, 95.5),
        "pgan": Printed(79.3, 96.5),
    },
    "vehicleid": {
        "baseline": Printed(None, 77.5, 91.0),
        "grid": Printed(None, 77.1, 91.4),
        "pgan_no_pam": Printed(None, 77.6, 91.8),
        "pgan": Printed(None, 77.8, 92.1),
    },
    "vric": {
        "baseline": Printed(None, 76.1, 93.0),
        "grid": Printed(None, 76.7, 93.6),
        "pgan_no_pam": Printed(None, 77.4, 93.1),
        "pgan": Printed(None, 78.0, 93.2),
    },
    "veriwild": {
        "baseline": Printed(72.9, 92.9),
        "grid": Printed(73.6, 93.9),
        "pgan_no_pam": Printed(73.6, 93.8),
        "pgan": Printed(74.1, 93.8),
    },
}

TABLE_5 = {  # by the number of parts, D; 0 is called the baseline there, with other figures than that of Table 1
    0: Printed(75.2, 94.9, 98.1),
    4: Printed(76.4, 74.4, 97.9),
    6: Printed(78.7, 96.2, 98.0),
    8: Printed(79.3, 96.5, 98.3),
    10: Printed(79.1, 95.9, 98.2),
}
