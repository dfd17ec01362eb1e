"""The paper's scores (arXiv 1909.06023, Tables 1, 2, 3 and 5) in percent, as printed.

Tables 1, 2, 5 and Figure 3 are on VeRi-776. The text gives no values for Figure 3 beyond those of Tables 1 and 2.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class PaperScores:
    """Scores of one row in the paper, in percent; None if not given."""

    mAP: float | None = None
    top1: float | None = None
    top5: float | None = None


MEASURED_ON = {"veri": "VeRi-776", "vehicleid": "VehicleID, large", "vric": "VRIC", "veriwild": "VERI-Wild, large"}

TABLE_1 = {
    "baseline": PaperScores(75.7, 95.2, 98.2),
    "f": PaperScores(77.7, 95.9, 98.5),
    "f+g": PaperScores(78.0, 95.1, 97.7),
    "f+p": PaperScores(78.5, 95.8, 98.3),
    "f+g+p": PaperScores(79.3, 96.5, 98.3),
}

TABLE_2 = {  # by the feature's dimension, 2C'
    256: {
        "grid": PaperScores(76.1, 95.3, 97.7),
        "pgan_no_pam": PaperScores(77.9, 95.6, 98.4),
        "pgan": PaperScores(78.6, 95.4, 98.0),
    },
    512: {
        "grid": PaperScores(77.0, 95.8, 98.0),
        "pgan_no_pam": PaperScores(78.0, 95.5, 98.2),
        "pgan": PaperScores(79.3, 96.5, 98.3),
    },
}

TABLE_3 = {  # the paper's own four rows
    "veri": {
        "baseline": PaperScores(75.7, 95.2),
        "grid": PaperScores(77.0, 95.8),
        "pgan_no_pam": PaperScores(78.0, 95.5),
        "pgan": PaperScores(79.3, 96.5),
    },
    "vehicleid": {
        "baseline": PaperScores(None, 77.5, 91.0),
        "grid": PaperScores(None, 77.1, 91.4),
        "pgan_no_pam": PaperScores(None, 77.6, 91.8),
        "pgan": PaperScores(None, 77.8, 92.1),
    },
    "vric": {
        "baseline": PaperScores(None, 76.1, 93.0),
        "grid": PaperScores(None, 76.7, 93.6),
        "pgan_no_pam": PaperScores(None, 77.4, 93.1),
        "pgan": PaperScores(None, 78.0, 93.2),
    },
    "veriwild": {
        "baseline": PaperScores(72.9, 92.9),
        "grid": PaperScores(73.6, 93.9),
        "pgan_no_pam": PaperScores(73.6, 93.8),
        "pgan": PaperScores(74.1, 93.8),
    },
}

TABLE_5 = {  # by the number of parts D; the paper calls D = 0 its baseline, with other scores than in Table 1
    0: PaperScores(75.2, 94.9, 98.1),
    4: PaperScores(76.4, 74.4, 97.9),
    6: PaperScores(78.7, 96.2, 98.0),
    8: PaperScores(79.3, 96.5, 98.3),
    10: PaperScores(79.1, 95.9, 98.2),
}
