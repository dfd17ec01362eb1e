"""Results of other commands that the report shows: metrics of the part detector and tables of `ablate`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_cache.base.errors import UserError
from data_cache.base.files import read_json, read_json_lines, sha256_of_file
from data_cache.parts.cache import PartBoxes
from reid.report.curves import loss_curve

PAPER_NAMES = {"veri": "VeRi-776", "vehicleid": "VehicleID", "vric": "VRIC", "veriwild": "VERI-Wild"}
TABLE_FILES = ("table-*.md", "figure-*.md")
REMEDY = "run `ablate` again"


def detector_summary(folder: Path | None, parts: PartBoxes) -> dict[str, Any]:
    """Return name, labelled metrics, AP by part and loss curve of the detector; empty if it is unknown."""
    run = None if folder is None else find_detector_run(folder, parts)
    if run is None:
        return {"name": None, "rows": [], "ap_by_part": {}, "loss": None}
    metrics = read_json(run / "metrics.json")
    top_d = metrics.get("recall_depth", 8)
    labels = {
        "ap50": "AP50",
        "ap": "AP, mean over IoU 0.50 to 0.95",
        "recall": f"recall@{top_d}: true parts covered by the {top_d} most confident boxes",
        "recall_with_label": f"recall@{top_d} with the right label",
    }
    return {
        "name": run.name,
        "rows": [(label, f"{100 * metrics[key]:.1f}") for key, label in labels.items() if key in metrics],
        "counted": f"{metrics['parts']:,} parts in {metrics['images']:,} images" if "images" in metrics else "",
        "ap_by_part": metrics.get("ap_by_part", {}),
        "loss": loss_curve(read_json_lines(run / "log.jsonl"), name="detector"),
    }


def find_detector_run(folder: Path, parts: PartBoxes) -> Path | None:
    """Return `folder` if it is a detector run, otherwise the run in it whose weights made the part cache, or None."""
    if (folder / "metrics.json").exists():
        return folder
    sha256 = parts.fingerprint.get("weights_sha256")
    for metrics in sorted(folder.glob("*/metrics.json")) if sha256 else ():
        weights = metrics.with_name("weights.safetensors")
        if weights.exists() and sha256_of_file(weights) == sha256:
            return metrics.parent
    return None


@dataclass(frozen=True)
class AblationTable:
    """An ablation table as text: title, headings, rows of as many cells, and notes."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]

    @property
    def bars(self) -> list[float | None]:
        """The first score of each row as a share of the largest one; None where a row has no score."""
        scores = [_leading_number(row[1]) for row in self.rows]
        largest = max((score for score in scores if score is not None), default=0.0) or 1.0
        return [None if score is None else score / largest for score in scores]

    def without_paper(self) -> "AblationTable":
        """Return the table without the scores and notes of the paper, for another data set than the paper's."""
        kept = [column for column, heading in enumerate(self.headings) if not heading.startswith("paper ")]
        return AblationTable(
            self.title,
            tuple(self.headings[column] for column in kept),
            tuple(tuple(row[column] for column in kept) for row in self.rows),
            tuple(note for note in map(_without_paper, self.notes) if "the paper" not in note.lower()),
        )


def read_ablation_tables(
    folder: Path, split: str, splits: Sequence[str], *, dataset: str | None = None
) -> list[AblationTable]:
    """Return the tables in `folder` of a test, by name; `splits` are all tests, the default last.

    The paper's scores are kept if they were measured on `dataset`. File names of the default test have no suffix.
    Raises UserError if a file is not such a table.
    """
    measured = PAPER_NAMES.get(dataset or "")
    suffixes = tuple(f"-{other}" for other in splits)
    is_default = split == splits[-1]
    paths = sorted((path for pattern in TABLE_FILES for path in folder.glob(pattern)), key=lambda path: path.stem)
    tables = [
        _read_table(path)
        for path in paths
        if (not path.stem.endswith(suffixes) if is_default else path.stem.endswith(f"-{split}"))
    ]
    return [
        table if measured and any(f"Paper: {measured}" in note for note in table.notes) else table.without_paper()
        for table in tables
    ]


def _read_table(path: Path) -> AblationTable:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {REMEDY}") from error
    cells = [tuple(_plain(cell) for cell in line.strip("|").split("|")) for line in lines if line.startswith("|")]
    titles = [line.removeprefix("# ") for line in lines if line.startswith("# ")]
    if len(titles) != 1 or len(cells) < 3 or len({len(row) for row in cells}) != 1:
        raise UserError(f"{path}: not a table of `ablate`; {REMEDY}")
    notes = tuple(_plain(line.removeprefix("- ")) for line in lines if line.startswith("- "))
    return AblationTable(titles[0], cells[0], tuple(cells[2:]), notes)


def _without_paper(note: str) -> str:
    """Return a note without the sentence on the data set of the paper's scores.

    >>> _without_paper("Percent. Mean over n seeds. Paper: VehicleID, large.")
    'Percent. Mean over n seeds.'
    """
    return note.partition(" Paper: ")[0]


def _leading_number(cell: str) -> float | None:
    """Return the number that a cell starts with, such as 56.1 of "56.1 ± 0.4"; None if there is none."""
    found = re.match(r"\d+(\.\d+)?", cell)
    return float(found[0]) if found else None


def _plain(text: str) -> str:
    return text.strip().replace("`", "")
