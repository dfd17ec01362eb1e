"""What becomes of a label: one of the 16 parts, or nothing; one normal form of names, VAC21's labels, a user's own.

Two spellings are one name where they agree without case, white space, underscores and hyphens: `Back_Mirror` is
"back mirror", `windshield glass` is "wind-shield glass". Nothing else is guessed: no abbreviation, no plural.

VAC21 (Zhao, Shen, Wang and Chen, "Structural Analysis of Attributes for Vehicle Re-Identification and Retrieval", IEEE
T-ITS 2019) has 21 labels. Their names here are those of the PGAN paper (arXiv 1909.06023, appendix A.1): the 16 parts
of its Table 4, and the vehicle styles "car", "trunk", "tricycle", "train" and "bus", which show the whole vehicle and
fall away. "truck" falls away as well, because "trunk" reads like a misprint of it. How the label files of VAC21 spell
the names could not be found out: whatever the normal form does not cover takes a mapping of the user's.
"""

import difflib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from data_cache.base.files import read_json
from data_cache.parts.names import PART_NAMES
from detect.annotations.faults import AnnotationFaults, shown

VEHICLE_STYLES = ("car", "trunk", "truck", "tricycle", "train", "bus")
SEPARATORS = re.compile(r"[\s_\-\u2010-\u2015]+")  # the last are typographic hyphens and dashes
NEAR = 0.6  # similarity of normal forms (difflib) from which a part is suggested


def normal_form(name: str) -> str:
    """Return the name without case and separators, by which names are compared.

    >>> normal_form("Wind-Shield_glass")
    'windshieldglass'
    """
    return SEPARATORS.sub("", unicodedata.normalize("NFKC", name).casefold())


@dataclass(frozen=True)
class PartMapping:
    """The part that each label stands for, None where it is dropped; labels are compared by their normal form."""

    targets: Mapping[str, str | None]  # by normal form

    def __post_init__(self) -> None:
        wrong = [
            key for key, part in self.targets.items() if normal_form(key) != key or part not in {*PART_NAMES, None}
        ]
        if wrong:
            raise ValueError(f"not a normal form, or not a part: {wrong}")
        object.__setattr__(self, "targets", MappingProxyType(dict(self.targets)))

    def __contains__(self, label: str) -> bool:
        return normal_form(label) in self.targets

    def __getitem__(self, label: str) -> str | None:
        return self.targets[normal_form(label)]


PARTS = PartMapping({normal_form(name): name for name in PART_NAMES})
VAC21 = PartMapping({**PARTS.targets, **dict.fromkeys(VEHICLE_STYLES)})


def suggestion(label: str) -> str:
    """Return "; did you mean PART?" for the part whose name is nearest to the label, "" where none is near."""
    near = difflib.get_close_matches(normal_form(label), PARTS.targets, n=1, cutoff=NEAR)
    return f"; did you mean {PARTS[near[0]]!r}?" if near else ""


def read_mapping(path: Path) -> PartMapping:
    """Read a JSON object, label to part or null, and lay it over VAC21's labels.

    Raises AnnotationFaults with every entry that is wrong: a value that is no part, a label given twice.
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
            faults.append(f"label {shown(label)} is mapped to {shown(part)}, which is none of the parts{hint}")
        elif normal_form(label) in targets:
            faults.append(f"label {shown(label)} is given twice, by its normal form {shown(normal_form(label))}")
        else:
            targets[normal_form(label)] = None if part is None else PARTS[part]
    if faults:
        raise AnnotationFaults(path, faults, f"the parts are {', '.join(PART_NAMES)}; null drops a label")
    return PartMapping({**VAC21.targets, **targets})
