"""The metrics of a part detector as tables on the terminal."""

from rich.table import Table

from data_cache.tables import print_tables
from detect.metrics import RECALL_IOU, DetectorMetrics

SHOWN_DEPTHS = (4, 6, 8, 10, 16)
SIZE_NAMES = {"small": "under 0.25 % of the image", "medium": "0.25 to 1 %", "large": "over 1 %"}


def show_metrics(metrics: DetectorMetrics) -> None:
    """Print average precision in all and by size, recall by the number of boxes, and average precision by part."""
    print_tables(_precision(metrics), _recall(metrics), _parts(metrics))


def _precision(metrics: DetectorMetrics) -> Table:
    table = _table(f"{metrics.parts:,} true parts in {metrics.images:,} images", "average precision", "value", "parts")
    whole = {"AP, mean over IoU 0.50 to 0.95": metrics.ap, "AP50": metrics.ap50, "AP75": metrics.ap75}
    for name, value in whole.items():
        table.add_row(name, f"{value:.3f}", f"{metrics.parts:,}")
    for size, value in metrics.ap_by_size.items():
        table.add_row(f"AP {size}, {SIZE_NAMES[size]}", f"{value:.3f}", f"{metrics.parts_by_size[size]:,}")
    return table


def _recall(metrics: DetectorMetrics) -> Table:
    title = f"recall@D, by the D most confident boxes, IoU {RECALL_IOU}"
    table = _table(title, "D", "limit", "recall", "of limit", "label right", "of limit")
    for row in metrics.recall_by_depth:
        if row.depth in SHOWN_DEPTHS:
            values = (row.limit, row.recall, row.share, row.recall_with_label, row.share_with_label)
            table.add_row(str(row.depth), *(f"{value:.3f}" for value in values))
    each = metrics.parts / max(metrics.images, 1)
    table.caption = (
        f"An image shows {each:.1f} parts, a box finds one: no D boxes pass the limit. Judge by the share of it."
    )
    return table


def _parts(metrics: DetectorMetrics) -> Table:
    table = _table("by part", "part", "AP50", "AP", "parts")
    for name, count in metrics.parts_by_part.items():
        table.add_row(name, f"{metrics.ap50_by_part[name]:.3f}", f"{metrics.ap_by_part[name]:.3f}", f"{count:,}")
    return table


def _table(title: str, first: str, *numbers: str) -> Table:
    table = Table(first, title=title, title_justify="left", caption_justify="left")
    for name in numbers:
        table.add_column(name, justify="right")
    return table
