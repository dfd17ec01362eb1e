"""A table or a figure of runs: its rows, what each trains, and what the paper prints beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from reid.ablation.paper import MEASURED_ON, Printed
from reid.part_controls import BoxKind
from reid.recipes import PRESETS

Preset = Literal["baseline", "grid", "pgan_no_pam", "pgan"]


@dataclass(frozen=True)
class Variant:
    """What is trained: a preset, the options that differ from it, and whose boxes it looks at."""

    preset: Preset = "pgan"
    changes: Mapping[str, Any] = field(default_factory=dict)
    boxes: BoxKind = "detector"

    @property
    def looks_at_parts(self) -> bool:
        """Whether it matters whose boxes they are."""
        return PRESETS[self.preset].model_copy(update=self.changes).looks_at_parts


@dataclass(frozen=True)
class Point:
    """Where a row lies in a figure: chart, line in it, and place on the x axis."""

    chart: str
    line: str
    x: float


@dataclass(frozen=True)
class Row:
    """A row: its label, what is trained for it, what the paper prints, and the number of the row it is held against."""

    label: str
    variant: Variant
    printed: Printed = field(default_factory=Printed)
    against: int = 0
    point: Point | None = None


@dataclass(frozen=True)
class Sheet:
    """A table, or a figure's data: its rows, and what they are held against.

    `decides` is the figure whose differences are told: cmc1 where the paper gives no mAP. `measured_on` is the data set
    of what the paper prints. `notes` are to stand below.
    """

    name: str
    title: str
    rows: tuple[Row, ...]
    against: str
    decides: Literal["mAP", "cmc1"] = "mAP"
    measured_on: str = MEASURED_ON["veri"]
    notes: tuple[str, ...] = ()

    def options(self) -> set[str]:
        """Return the options of a recipe that the rows choose themselves."""
        return {"attention", *(option for row in self.rows for option in row.variant.changes)}

    def without(self, boxes: Sequence[BoxKind], note: str) -> "Sheet":
        """Return the sheet without its rows on such boxes, with a note that tells why; for rows held against row 0."""
        kept = tuple(row for row in self.rows if row.variant.boxes not in boxes)
        return self if len(kept) == len(self.rows) else replace(self, rows=kept, notes=(*self.notes, note))

    def with_boxes(self, kind: BoxKind, whose: str) -> "Sheet":
        """Return the sheet with these boxes for all rows that look at parts, under a name and a title that tell so."""
        rows = tuple(
            replace(row, variant=replace(row.variant, boxes=kind)) if row.variant.looks_at_parts else row
            for row in self.rows
        )
        return replace(self, name=f"{self.name}-{kind}", title=f"{self.title}; boxes {whose}", rows=rows)

    def with_settings(self, settings: Sequence[str]) -> "Sheet":
        """Return the sheet under a name and a title that tell these settings of all its rows, "lambda=4"."""
        name, title = "_".join([self.name, *settings]), "; ".join([self.title, *settings])
        return replace(self, name=name, title=title)
