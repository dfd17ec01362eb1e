"""Results of other commands that the report shows: metrics of the part detector and tables of `ablate`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_cache.base.errors import UserError
from data_cache.base.files import read_json, read_json_lines, sha256_of_file
from data_cache.parts.cache import PartBoxes
from reid.report.curves import loss_curve

TABLE_FILES = ("table-*.md", "figure-*.md")
REMEDY = "run `python cli.py ablate` again"


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
    """An ablation table as text: title, headings, rows of as many cells, notes, and the PNG file of its chart."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    chart: bytes | None


def read_ablation_tables(folder: Path, split: str, splits: Sequence[str]) -> list[AblationTable]:
    """Return the tables in `folder` of a test, by name; `splits` are all tests, the default last.

    File names of the default test have no suffix. Raises UserError if a file is not such a table.
    """
    suffixes = tuple(f"-{other}" for other in splits)
    is_default = split == splits[-1]
    paths = sorted((path for pattern in TABLE_FILES for path in folder.glob(pattern)), key=lambda path: path.stem)
    return [
        _read_table(path)
        for path in paths
        if (not path.stem.endswith(suffixes) if is_default else path.stem.endswith(f"-{split}"))
    ]


def _read_table(path: Path) -> AblationTable:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        chart = path.with_suffix(".png")
        chart_bytes = chart.read_bytes() if chart.exists() else None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {REMEDY}") from error
    cells = [tuple(_plain(cell) for cell in line.strip("|").split("|")) for line in lines if line.startswith("|")]
    titles = [line.removeprefix("# ") for line in lines if line.startswith("# ")]
    if len(titles) != 1 or len(cells) < 3 or len({len(row) for row in cells}) != 1:
        raise UserError(f"{path}: not a table of `ablate`; {REMEDY}")
    notes = tuple(_plain(line.removeprefix("- ")) for line in lines if line.startswith("- "))
    return AblationTable(titles[0], cells[0], tuple(cells[2:]), notes, chart_bytes)


def _plain(text: str) -> str:
    return text.strip().replace("`", "")
