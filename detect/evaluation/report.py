"""Reports of `parts eval`: tables in the terminal, metrics.json, and plots of precision and recall."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from data_cache.base.files import sha256_of_file, write_json
from data_cache.base.progress import print_tables
from data_cache.images.plots import COLOURS, figure_written_to
from data_cache.parts.names import PART_NAMES
from detect.evaluation.metrics import RECALL_IOU, DetectorMetrics
from detect.evaluation.precision_recall import RECALLS

METRICS, PRECISION, RECALL = "metrics.json", "precision_recall.png", "recall_by_boxes.png"
PLOTTED_IOUS = (0.5, 0.75)
TABLE_TOP_D = (4, 6, 8, 10, 16)
SIZE_NAMES = {"small": "under 0.25 % of the image", "medium": "0.25 to 1 %", "large": "over 1 %"}
QUIET = "#8a8f98"


def write_quality(metrics: DetectorMetrics, folder: Path, *, weights: Path, annotations: Path) -> Path:
    """Write metrics.json, with hashes of the evaluated files, and the plots; return the folder.

    precision_recall.png has the mean curves and those of every part; recall_by_boxes.png has the recall by 1 to 16
    boxes and the limit that they can reach. Raises UserError if a file cannot be read or written.
    """
    files = {"weights": weights, "annotations": annotations}
    made_from = {name: {"file": str(path), "sha256": sha256_of_file(path)} for name, path in files.items()}
    write_json(folder / METRICS, made_from | metrics.to_dict())
    _plot_precision(metrics, folder / PRECISION)
    _plot_recall(metrics, folder / RECALL)
    return folder


def show_metrics(metrics: DetectorMetrics) -> None:
    """Print tables of average precision in total and by size, of recall by number of boxes, and of AP by part."""
    print_tables(_precision_table(metrics), _recall_table(metrics), _part_table(metrics))


def _plot_precision(metrics: DetectorMetrics, path: Path) -> None:
    with figure_written_to(path, width=13.0, height=7.0) as figure:
        left, right = figure.subfigures(1, 2, width_ratios=(1, 1.7))
        axes = left.subplots()
        _plot_curves(axes, metrics, None)
        scores = {0.5: metrics.ap50, 0.75: metrics.ap75}
        axes.legend([f"IoU {iou}: AP {scores[iou]:.3f}" for iou in PLOTTED_IOUS], frameon=False, loc="best")
        axes.set(title=f"mean over {len(metrics.ap_by_part)} parts: AP {metrics.ap:.3f}")
        axes.set(xlabel="recall", ylabel="precision")
        panels = right.subplots(4, 4, sharex=True, sharey=True)
        for label, (name, panel) in enumerate(zip(PART_NAMES, panels.flat, strict=True)):
            _plot_part(panel, metrics, label, name)
        right.supxlabel("recall", fontsize="medium")


def _plot_part(axes: Any, metrics: DetectorMetrics, label: int, name: str) -> None:
    if name not in metrics.ap50_by_part:
        axes.set_title(f"{name}\nno true part", fontsize="small", color=QUIET)
        return
    _plot_curves(axes, metrics, label)
    score, count = metrics.ap50_by_part[name], metrics.parts_by_part[name]
    axes.set_title(f"{name}\nAP50 {score:.3f}, {count:,} true", fontsize="small")


def _plot_curves(axes: Any, metrics: DetectorMetrics, label: int | None) -> None:
    for colour, iou in zip(COLOURS, PLOTTED_IOUS, strict=False):
        axes.plot(RECALLS, _reached(metrics.curves.curve(iou, label)), color=colour, linewidth=1.6, clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))


def _reached(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the falling curve up to its first 0, then NaN, which is not drawn: those recalls are not reached."""
    reached = int((curve > 0).sum())
    return np.where(np.arange(len(curve)) <= reached, curve, np.nan)


def _plot_recall(metrics: DetectorMetrics, path: Path) -> None:
    rows = metrics.recall_by_depth
    top_d = [row.depth for row in rows]
    lines = {"any label": ("recall", "share"), "label right": ("recall_with_label", "share_with_label")}
    with figure_written_to(path, width=11.0, height=4.4) as figure:
        left, right = figure.subplots(1, 2, sharex=True)
        left.plot(top_d, [row.limit for row in rows], "--", color=QUIET, label="limit: every box finds a part")
        for colour, (name, (recall, share)) in zip(COLOURS, lines.items(), strict=False):
            left.plot(top_d, [getattr(row, recall) for row in rows], ".-", color=colour, label=name)
            right.plot(top_d, [getattr(row, share) for row in rows], ".-", color=colour, label=name)
        left.set(title=f"recall of {metrics.parts:,} true parts at IoU {RECALL_IOU}", ylabel="share of all true parts")
        right.set(title="recall as share of the limit", ylabel="share of the limit")
        for axes in (left, right):
            axes.set(xlabel="most confident boxes per image", ylim=(0, 1.02), xticks=top_d)
            axes.axvline(metrics.recall_depth, color=QUIET, linewidth=0.8, zorder=0)
            axes.legend(frameon=False, loc="lower right")


def _precision_table(metrics: DetectorMetrics) -> Table:
    table = _table(f"{metrics.parts:,} true parts in {metrics.images:,} images", "average precision", "value", "parts")
    total = {"AP, mean over IoU 0.50 to 0.95": metrics.ap, "AP50": metrics.ap50, "AP75": metrics.ap75}
    for name, value in total.items():
        table.add_row(name, f"{value:.3f}", f"{metrics.parts:,}")
    for size, value in metrics.ap_by_size.items():
        table.add_row(f"AP {size}, {SIZE_NAMES[size]}", f"{value:.3f}", f"{metrics.parts_by_size[size]:,}")
    return table


def _recall_table(metrics: DetectorMetrics) -> Table:
    title = f"recall@D, by the D most confident boxes, IoU {RECALL_IOU}"
    table = _table(title, "D", "limit", "recall", "of limit", "label right", "of limit")
    for row in metrics.recall_by_depth:
        if row.depth in TABLE_TOP_D:
            values = (row.limit, row.recall, row.share, row.recall_with_label, row.share_with_label)
            table.add_row(str(row.depth), *(f"{value:.3f}" for value in values))
    mean = metrics.parts / max(metrics.images, 1)
    table.caption = f"Images show {mean:.1f} parts on average; no D boxes exceed the limit, so compare shares of it."
    return table


def _part_table(metrics: DetectorMetrics) -> Table:
    recall = f"recall@{metrics.recall_depth}"
    table = _table("by part", "part", "AP50", "AP", recall, "parts")
    for name, count in metrics.parts_by_part.items():
        values = (metrics.ap50_by_part[name], metrics.ap_by_part[name], metrics.recall_by_part[name])
        table.add_row(name, *(f"{value:.3f}" for value in values), f"{count:,}")
    table.caption = f"{recall}: by the boxes that stage two would read, whatever their label."
    return table


def _table(title: str, first: str, *numbers: str) -> Table:
    table = Table(first, title=title, title_justify="left", caption_justify="left")
    for name in numbers:
        table.add_column(name, justify="right")
    return table
