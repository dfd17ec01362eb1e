"""The rows of the paper's tables and of Figure 3, and of a table of control boxes that the paper lacks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from data_cache.base.errors import UserError
from reid.ablation.boxes import BoxKind
from reid.ablation.paper import MEASURED_ON, TABLE_1, TABLE_2, TABLE_3, TABLE_5, PaperScores
from reid.recipes import PRESETS

Preset = Literal["baseline", "grid", "pgan_no_pam", "pgan", "pgan_plus", "strong"]
NAMES: dict[Preset, str] = {
    "baseline": "baseline",
    "grid": "grid attention",
    "pgan_no_pam": "PGAN without PAM",
    "pgan": "PGAN",
    "pgan_plus": "PGAN+",
    "strong": "strong",
}
OWN_ROWS: tuple[Preset, ...] = ("baseline", "grid", "pgan_no_pam", "pgan")  # the paper's in its Table 3
BOXES: dict[BoxKind, str] = {
    "detector": "of the detector",
    "truth": "of the ground truth, the largest first",
    "rarest": "of the ground truth, the rarest kinds first",
    "random": "at random",
    "shifted": "shifted",
}
CONTROLS = (
    "At random: the detector's boxes, the same number and sizes per image, at positions drawn with the run's seed. "
    "Shifted: the detector's boxes, moved by a quarter of the image."
)
DIMENSIONS = (128, 256, 512, 1024)  # Figure 3 a; the paper's text names 256 and 512
WEIGHTS = (0.5, 1.0, 2.0, 4.0)  # lambda, Figure 3 b; the paper's text names 2 as its best
CACHED_BOXES = 16  # per image in a part cache, by the detectors' recipes


@dataclass(frozen=True)
class Variant:
    """A network to train: a preset, the changed options, and the kind of boxes."""

    preset: Preset = "pgan"
    changes: Mapping[str, Any] = field(default_factory=dict)
    boxes: BoxKind = "detector"

    @property
    def uses_parts(self) -> bool:
        """Whether the network uses part boxes at all."""
        return PRESETS[self.preset].model_copy(update=self.changes).uses_parts


@dataclass(frozen=True)
class PlotPoint:
    """The position of a row in a figure: chart, line, and x value."""

    chart: str
    line: str
    x: float


@dataclass(frozen=True)
class Row:
    """A row: label, network, the paper's scores, and the index of the reference row that it is compared with."""

    label: str
    variant: Variant
    paper: PaperScores = field(default_factory=PaperScores)
    reference: int = 0
    point: PlotPoint | None = None


@dataclass(frozen=True)
class Table:
    """A table, or the data of a figure; `reference_name` describes the rows that the others are compared with.

    `metric` is compared between rows: cmc1 if the paper gives no mAP. `measured_on` is the data set of the paper's
    scores. `notes` are printed below the table.
    """

    name: str
    title: str
    rows: tuple[Row, ...]
    reference_name: str
    metric: Literal["mAP", "cmc1"] = "mAP"
    measured_on: str = MEASURED_ON["veri"]
    notes: tuple[str, ...] = ()

    def options(self) -> set[str]:
        """Return the recipe options that the rows set."""
        return {"attention", *(option for row in self.rows for option in row.variant.changes)}

    def without(self, boxes: Sequence[BoxKind], note: str) -> "Table":
        """Return the table without rows on these boxes, with a note why; every row's reference must be row 0."""
        kept = tuple(row for row in self.rows if row.variant.boxes not in boxes)
        return self if len(kept) == len(self.rows) else replace(self, rows=kept, notes=(*self.notes, note))

    def with_boxes(self, kind: BoxKind) -> "Table":
        """Return the table with these boxes for all rows that use parts, renamed accordingly."""
        rows = tuple(
            replace(row, variant=replace(row.variant, boxes=kind)) if row.variant.uses_parts else row
            for row in self.rows
        )
        return replace(self, name=f"{self.name}-{kind}", title=f"{self.title}; boxes {BOXES[kind]}", rows=rows)

    def with_settings(self, settings: Sequence[str]) -> "Table":
        """Return the table with settings common to all rows, such as "lambda=4", in its name and title."""
        name, title = "_".join([self.name, *settings]), "; ".join([self.title, *settings])
        return replace(self, name=name, title=title)

    def with_notes(self, notes: Sequence[str]) -> "Table":
        """Return the table with further notes."""
        return replace(self, notes=(*self.notes, *notes))


def select_tables(
    tables: Sequence[str], figures: Sequence[str], dataset: str, boxes: BoxKind = "detector"
) -> list[Table]:
    """Return the selected tables and figures for a data set, in the paper's order.

    `boxes` applies to all rows that use parts. Raises UserError for tables whose rows differ in their boxes.
    """
    selected = [make(dataset) for key, make in TABLES.items() if key in tables]
    selected += [make(dataset) for key, make in FIGURES.items() if key in figures]
    if boxes == "detector":
        return selected
    for name in ("oracle", "plus"):
        if name in tables:
            raise UserError(f"--boxes {boxes} cannot be combined with table {name}, whose rows differ in their boxes")
    return [table.with_boxes(boxes) for table in selected]


def _table_1(dataset: str) -> Table:
    losses = {"f": ["fusion"], "f+g": ["fusion", "global"], "f+p": ["fusion", "part"]}
    losses["f+g+p"] = ["fusion", "global", "part"]
    rows = [Row("baseline", Variant("baseline"), TABLE_1["baseline"])]
    for name, triplets in losses.items():
        label = "PGAN, " + " + ".join(f"L({vector})" for vector in name.split("+"))
        rows.append(Row(label, Variant(changes={"triplets": triplets}), TABLE_1[name]))
    return Table("table-1", "Table 1: which vectors have a triplet loss", tuple(rows), "the baseline")


def _table_2(dataset: str) -> Table:
    rows = [
        Row(f"{NAMES[preset]}, 2C' = {size}", Variant(preset, {"features": size}), paper[preset], reference)
        for reference, (size, paper) in zip((0, 3), TABLE_2.items(), strict=True)
        for preset in ("grid", "pgan_no_pam", "pgan")
    ]
    return Table("table-2", "Table 2: kinds of attention", tuple(rows), "grid attention")


def _table_3(dataset: str) -> Table:
    paper_dataset = dataset if dataset in TABLE_3 else "veri"
    paper = TABLE_3[paper_dataset]
    return Table(
        "table-3",
        "Table 3: the paper's own rows",
        tuple(Row(NAMES[preset], Variant(preset), paper[preset]) for preset in OWN_ROWS),
        "the baseline",
        metric="mAP" if paper["pgan"].mAP is not None else "cmc1",
        measured_on=MEASURED_ON[paper_dataset],
    )


def _table_5(dataset: str) -> Table:
    paper = {**TABLE_5, CACHED_BOXES: PaperScores()}
    rows = [Row(f"PGAN, D = {top_d}", Variant(changes={"parts": top_d}), paper[top_d]) for top_d in paper]
    notes = (
        "The paper calls D = 0 its baseline, with other scores than in Table 1; here it is PGAN without any part, so "
        "that its part map equals the global map.",
        f"The paper stops at D = 10; D = {CACHED_BOXES} is all that a detector's part cache stores per image.",
        "Top-1 of D = 4 is printed like this in the paper, below its own mAP: probably a misprint.",
    )
    return Table("table-5", "Table 5: number of parts D", tuple(rows), "D = 0", notes=notes)


def _oracle_table(dataset: str) -> Table:
    rows = [Row("baseline", Variant("baseline"), TABLE_1["baseline"])]
    for kind, description in BOXES.items():
        paper = TABLE_1["f+g+p"] if kind == "detector" else PaperScores()
        rows.append(Row(f"PGAN, boxes {description}", Variant(boxes=kind), paper))
    notes = (
        f"{CONTROLS} Of the ground truth the first D boxes are used; the rarest kinds are those with the fewest boxes "
        "in the training images.",
        "The paper has no such table; its scores are those of Table 1.",
    )
    return Table("table-oracle", "What the boxes are worth", tuple(rows), "the baseline", notes=notes)


def _plus_table(dataset: str) -> Table:
    """Return the rows of PGAN+, which takes the most telling kinds of parts first, whatever the order of the boxes."""
    presets: tuple[Preset, ...] = ("baseline", "pgan")
    kinds: dict[BoxKind, str] = {**BOXES, "truth": "of the ground truth"}
    del kinds["rarest"]
    rows = [Row(NAMES[preset], Variant(preset)) for preset in presets]
    rows += [Row(f"PGAN+, boxes {text}", Variant("pgan_plus", boxes=kind)) for kind, text in kinds.items()]
    rows.append(Row("strong, boxes of the detector", Variant("strong")))
    notes = (CONTROLS, "The paper has no such table.")
    return Table("table-plus", "PGAN+ and its controls", tuple(rows), "the baseline", notes=notes)


def _figure_3(dataset: str) -> Table:
    rows = []
    for index, size in enumerate(DIMENSIONS):
        # the paper's values at these dimensions are those of Tables 1 and 2
        paper = {"pgan": TABLE_2[size]["pgan"] if size in TABLE_2 else PaperScores()}
        paper["baseline"] = TABLE_1["baseline"] if size == 512 else PaperScores()
        for preset in ("baseline", "pgan"):
            name = NAMES[preset]
            point = PlotPoint("a: dimension 2C'", name, size)
            variant = Variant(preset, {"features": size})
            rows.append(Row(f"{name}, 2C' = {size}", variant, paper[preset], 2 * index, point))
    baseline = 2 * DIMENSIONS.index(512)
    for weight in WEIGHTS:
        scores = TABLE_1["f+g+p"] if weight == 2 else PaperScores()
        point = PlotPoint("b: loss weight λ", NAMES["pgan"], weight)
        rows.append(Row(f"PGAN, λ = {weight:g}", Variant(changes={"lambda": weight}), scores, baseline, point))
    note = "The paper's text gives only those values of its Figure 3 that are also in Tables 1 and 2."
    return Table("figure-3", "Figure 3: dimension and loss weight", tuple(rows), "the baseline", notes=(note,))


TABLES: Mapping[str, Callable[[str], Table]] = {
    "1": _table_1,
    "2": _table_2,
    "3": _table_3,
    "5": _table_5,
    "oracle": _oracle_table,
    "plus": _plus_table,
}
FIGURES: Mapping[str, Callable[[str], Table]] = {"3": _figure_3}
