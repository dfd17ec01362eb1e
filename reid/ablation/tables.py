"""The rows of every table of the paper that compares networks, of its Figure 3, and of controls that it lacks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from data_cache.base.errors import UserError
from reid.ablation.boxes import BoxKind
from reid.ablation.paper import MEASURED_ON, TABLE_1, TABLE_2, TABLE_3, TABLE_5, Printed
from reid.recipes import PRESETS

Preset = Literal["baseline", "grid", "pgan_no_pam", "pgan"]
TABLES, FIGURES = ("1", "2", "3", "5", "oracle"), ("3",)
NAMES: dict[Preset, str] = {
    "baseline": "baseline",
    "grid": "grid attention",
    "pgan_no_pam": "PGAN without PAM",
    "pgan": "PGAN",
}
BOXES: dict[BoxKind, str] = {
    "detector": "of the detector",
    "truth": "of the ground truth, the largest first",
    "rarest": "of the ground truth, the rarest kinds first",
    "random": "at random",
    "shifted": "shifted",
}
DIMENSIONS = (128, 256, 512, 1024)  # of Figure 3 a; the paper's text names 256 and 512
WEIGHTS = (0.5, 1.0, 2.0, 4.0)  # lambda, of Figure 3 b; the paper's text names 2, its best
ALL_KEPT = 16  # boxes of an image in a part cache, by the detectors' recipes
AUTHORS_SETTINGS = {"vehicleid": {"lambda": 1.0}}  # what their code sets apart for one data set, in Table 3


@dataclass(frozen=True)
class Variant:
    """What is trained: a preset, the options that differ from it, and whose boxes it looks at."""

    preset: Preset = "pgan"
    changes: Mapping[str, Any] = field(default_factory=dict)
    boxes: BoxKind = "detector"

    @property
    def uses_parts(self) -> bool:
        """Whether it matters whose boxes they are."""
        return PRESETS[self.preset].model_copy(update=self.changes).uses_parts


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
            replace(row, variant=replace(row.variant, boxes=kind)) if row.variant.uses_parts else row
            for row in self.rows
        )
        return replace(self, name=f"{self.name}-{kind}", title=f"{self.title}; boxes {whose}", rows=rows)

    def with_settings(self, settings: Sequence[str]) -> "Sheet":
        """Return the sheet under a name and a title that tell these settings of all its rows, "lambda=4"."""
        name, title = "_".join([self.name, *settings]), "; ".join([self.title, *settings])
        return replace(self, name=name, title=title)


def sheets_for(tables: Sequence[str], figures: Sequence[str], dataset: str, boxes: BoxKind = "detector") -> list[Sheet]:
    """Return the named tables and figures, each once, in the paper's order, for runs on a data set.

    `boxes` are for all rows that look at parts; not for the oracle table, whose rows choose them: raises UserError.
    """
    makers = [_TABLES[key] for key in TABLES if key in tables] + [_FIGURES[key] for key in FIGURES if key in figures]
    sheets = [make(dataset) for make in makers]
    if boxes == "detector":
        return sheets
    if "oracle" in tables:
        raise UserError(f"--boxes {boxes}: the rows of table oracle differ in whose boxes they are; leave it out")
    return [sheet.with_boxes(boxes, BOXES[boxes]) for sheet in sheets]


def _table_1(dataset: str) -> Sheet:
    losses = {"f": ["fusion"], "f+g": ["fusion", "global"], "f+p": ["fusion", "part"]}
    losses["f+g+p"] = ["fusion", "global", "part"]
    rows = [Row("baseline", Variant("baseline"), TABLE_1["baseline"])]
    for name, triplets in losses.items():
        label = "PGAN, " + " + ".join(f"L({vector})" for vector in name.split("+"))
        rows.append(Row(label, Variant(changes={"triplets": triplets}), TABLE_1[name]))
    return Sheet("table-1", "Table 1: which vectors have a triplet loss", tuple(rows), "the baseline")


def _table_2(dataset: str) -> Sheet:
    rows = [
        Row(f"{NAMES[preset]}, 2C' = {size}", Variant(preset, {"features": size}), printed[preset], against)
        for against, (size, printed) in zip((0, 3), TABLE_2.items(), strict=True)
        for preset in ("grid", "pgan_no_pam", "pgan")
    ]
    return Sheet("table-2", "Table 2: kinds of attention", tuple(rows), "grid attention")


def _table_3(dataset: str) -> Sheet:
    own = dataset if dataset in TABLE_3 else "veri"
    changes = AUTHORS_SETTINGS.get(dataset, {})
    rows = [Row(NAMES[preset], Variant(preset, changes), TABLE_3[own][preset]) for preset in NAMES]
    return Sheet(
        "table-3",
        "Table 3: the paper's own rows",
        tuple(rows),
        "the baseline",
        decides="mAP" if TABLE_3[own]["pgan"].mAP is not None else "cmc1",
        measured_on=MEASURED_ON[own],
        notes=tuple(f"{option} = {value:g} here, as in the authors' settings." for option, value in changes.items()),
    )


def _table_5(dataset: str) -> Sheet:
    printed = {**TABLE_5, ALL_KEPT: Printed()}
    rows = [Row(f"PGAN, D = {parts}", Variant(changes={"parts": parts}), printed[parts]) for parts in printed]
    notes = (
        "The paper calls D = 0 its baseline, but prints other figures for it than in Table 1; here it is PGAN without "
        "a part, whose part map is the global one.",
        f"The paper stops at 10; D = {ALL_KEPT} is all that a detector's part cache keeps of an image.",
        "Top-1 of D = 4 stands so in the paper, below its own mAP: a misprint, it seems.",
    )
    return Sheet("table-5", "Table 5: number of parts D", tuple(rows), "D = 0", notes=notes)


def _oracle(dataset: str) -> Sheet:
    rows = [Row("baseline", Variant("baseline"), TABLE_1["baseline"])]
    for kind, whose in BOXES.items():
        printed = TABLE_1["f+g+p"] if kind == "detector" else Printed()
        rows.append(Row(f"PGAN, boxes {whose}", Variant(boxes=kind), printed))
    notes = (
        "At random: the detector's boxes, as many and as large in every image, placed anywhere by the run's seed. "
        "Shifted: the detector's boxes, moved by a quarter of the image. Of the ground truth the first D are taken; "
        "how rare a kind of part is, the training images tell.",
        "The paper has no such table; its figures are those of Table 1.",
    )
    return Sheet("table-oracle", "What the boxes are worth", tuple(rows), "the baseline", notes=notes)


def _figure_3(dataset: str) -> Sheet:
    rows = []
    for place, size in enumerate(DIMENSIONS):
        # the text's values at these dimensions are those of Tables 1 and 2
        printed = {"pgan": TABLE_2[size]["pgan"] if size in TABLE_2 else Printed()}
        printed["baseline"] = TABLE_1["baseline"] if size == 512 else Printed()
        for preset in ("baseline", "pgan"):
            name = NAMES[preset]
            point = Point("a: dimension 2C'", name, size)
            variant = Variant(preset, {"features": size})
            rows.append(Row(f"{name}, 2C' = {size}", variant, printed[preset], 2 * place, point))
    baseline = 2 * DIMENSIONS.index(512)
    for weight in WEIGHTS:
        best = TABLE_1["f+g+p"] if weight == 2 else Printed()
        point = Point("b: loss weight λ", NAMES["pgan"], weight)
        rows.append(Row(f"PGAN, λ = {weight:g}", Variant(changes={"lambda": weight}), best, baseline, point))
    note = "The paper's text gives no values of its Figure 3 but those that stand in Tables 1 and 2."
    return Sheet("figure-3", "Figure 3: dimension and loss weight", tuple(rows), "the baseline", notes=(note,))


_TABLES: Mapping[str, Callable[[str], Sheet]] = {
    "1": _table_1,
    "2": _table_2,
    "3": _table_3,
    "5": _table_5,
    "oracle": _oracle,
}
_FIGURES: Mapping[str, Callable[[str], Sheet]] = {"3": _figure_3}
