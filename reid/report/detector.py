"""What the report tells of the part detector: the one whose weights made the part cache."""

from pathlib import Path
from typing import Any

from data_cache.base.files import read_json, sha256_of_file
from data_cache.parts.cache import PartBoxes
from reid.report.curves import loss_curve, read_log


def detector_summary(folder: Path | None, parts: PartBoxes) -> dict[str, Any]:
    """Return name, metrics by label, AP by part and loss curve of the detector; empty where it is not known."""
    found = None if folder is None else detector_run(folder, parts)
    if found is None:
        return {"name": None, "rows": [], "ap_by_part": {}, "loss": None}
    metrics = read_json(found / "metrics.json")
    depth = metrics.get("recall_depth", 8)
    labels = {
        "ap50": "AP50",
        "ap": "AP, mean over IoU 0.50 to 0.95",
        "recall": f"recall@{depth}: true parts that the {depth} most confident boxes cover",
        "recall_with_label": f"recall@{depth} with the right label",
    }
    return {
        "name": found.name,
        "rows": [(label, f"{100 * metrics[key]:.1f}") for key, label in labels.items() if key in metrics],
        "counted": f"{metrics['parts']:,} parts in {metrics['images']:,} images" if "images" in metrics else "",
        "ap_by_part": metrics.get("ap_by_part", {}),
        "loss": loss_curve(read_log(found / "log.jsonl"), name="detector"),
    }


def detector_run(folder: Path, parts: PartBoxes) -> Path | None:
    """Return `folder` if it is a detector's, else the one below it whose weights made the part cache, else None."""
    if (folder / "metrics.json").exists():
        return folder
    wanted = parts.fingerprint.get("weights_sha256")
    for metrics in sorted(folder.glob("*/metrics.json")) if wanted else ():
        weights = metrics.with_name("weights.safetensors")
        if weights.exists() and sha256_of_file(weights) == wanted:
            return metrics.parent
    return None
