"""Labels to parts: the names of the 16 parts, the labels of VAC21, and mapping files of users.

Names are equal if they agree ignoring case, white space, underscores and hyphens: `Back_Mirror` is "back mirror",
`windshield glass` is "wind-shield glass". Nothing else is guessed: no abbreviations, no plurals.

VAC21 (Zhao, Shen, Wang and Chen, "Structural Analysis of Attributes for Vehicle Re-Identification and Retrieval", IEEE
T-ITS 2019) has 21 labels. Their names here are those of the PGAN paper (arXiv 1909.06023, appendix A.1): the 16 parts
of its Table 4 and the vehicle styles "car", "trunk", "tricycle", "train" and "bus", which mark the whole vehicle and
are dropped. "truck" is dropped too, because "trunk" looks like a misprint of it. We could not check how the label files
of VAC21 spell the names; spellings not covered by the comparison above need a mapping file.
"""

import difflib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from data_cache.base.errors import short_repr
from data_cache.base.files import read_json
from data_cache.parts.names import PART_NAMES
from detect.annotations.faults import AnnotationFaults

VEHICLE_STYLES = ("car", "trunk", "truck", "tricycle", "train", "bus")
SEPARATORS = re.compile(r"[\s_\-\u2010-\u2015]+")  # the range is typographic hyphens and dashes
SUGGESTION_CUTOFF = 0.6  # difflib similarity of normal forms


def normal_form(name: str) -> str:
    """Return the name without case and separators; names are compared by it.

    >>> normal_form("Wind-Shield_glass")
    'windshieldglass'
    """
    return SEPARATORS.sub("", unicodedata.normalize("NFKC", name).casefold())


@dataclass(frozen=True)
class PartMapping:
    """Maps a label to a part, or to None if objects with that label are dropped."""

    targets: Mapping[str, str | None]  # by normal form of the label

    def __post_init__(self) -> None:
        wrong = [
            label
            for label, part in self.targets.items()
            if normal_form(label) != label or part not in (*PART_NAMES, None)
        ]
        if wrong:
            raise ValueError(f"not a normal form, or not a part: {wrong}")

    def __contains__(self, label: str) -> bool:
        return normal_form(label) in self.targets

    def get(self, label: str) -> str | None:
        """Return the part of a label, None if the label is dropped or unknown."""
        return self.targets.get(normal_form(label))

    def drops(self, label: str) -> bool:
        """Return whether the label is known and mapped to no part."""
        return label in self and self.get(label) is None


PARTS = PartMapping({normal_form(name): name for name in PART_NAMES})
VAC21 = PartMapping({**PARTS.targets, **dict.fromkeys(VEHICLE_STYLES)})


def suggestion(label: str) -> str:
    """Return "; did you mean PART?" for the part with the most similar name, "" if none is similar."""
    near = difflib.get_close_matches(normal_form(label), PARTS.targets, n=1, cutoff=SUGGESTION_CUTOFF)
    return f"; did you mean {PARTS.get(near[0])!r}?" if near else ""


def read_mapping(path: Path) -> PartMapping:
    """Read a JSON object, label to part or null; its entries override the labels of VAC21.

    Raises AnnotationFaults listing every wrong entry: a value that is not a part, a label given twice.
    """
    entries = read_json(path)
    if not isinstance(entries, dict):
        raise AnnotationFaults(
            path, ["not a JSON object of labels"], 'write {"their label": "our part", "other": null}'
        )
    targets: dict[str, str | None] = {}
    faults = []
    for label, part in entries.items():
        if part is not None and not (isinstance(part, str) and part in PARTS):
            hint = suggestion(part) if isinstance(part, str) else ""
            faults.append(f"label {short_repr(label)} is mapped to {short_repr(part)}, which is not a part{hint}")
        elif normal_form(label) in targets:
            faults.append(f"label {short_repr(label)} is given twice (compared as {short_repr(normal_form(label))})")
        else:
            targets[normal_form(label)] = None if part is None else PARTS.get(part)
    if faults:
        raise AnnotationFaults(path, faults, f"the parts are {', '.join(PART_NAMES)}; null drops a label")
    return PartMapping({**VAC21.targets, **targets})
