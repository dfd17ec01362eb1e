"""What a training tells of its epochs: log.jsonl, curves.png, and TensorBoard's files where they are asked for."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from data_cache.base.errors import UserError
from data_cache.base.files import append_json_line, read_json_lines, write_atomically
from data_cache.images.plots import draw_curves

LOSSES = {"loss": "total", "identity": "identity", "fusion": "triplet, fusion", "global": "triplet, global"}


LOSSES |= {"part": "triplet, part", "loss_cls": "classes", "loss_bbox": "boxes"}


VALIDATION = {"validation_mAP": "mAP", "validation_cmc1": "CMC@1"}
LOG, CURVES, TENSORBOARD = "log.jsonl", "curves.png", "tensorboard"


def keep_until(folder: Path, epoch: int) -> None:
    """Drop the lines of epochs that a killed run logged but did not save. Raises UserError where the log is damaged."""
    told = read_json_lines(folder / LOG)
    if not all(isinstance(line.get("epoch"), int) for line in told):
        raise UserError(f"{folder / LOG}: damaged log (a line without an epoch); delete it")
    lines = [line for line in told if line["epoch"] <= epoch]
    write_atomically(folder / LOG, b"".join(json.dumps(line).encode() + b"\n" for line in lines))


def log_epoch(folder: Path, line: Mapping[str, float], *, tensorboard: bool) -> None:
    """Add an epoch's line to the log, and draw the curves anew."""
    append_json_line(folder / LOG, line)
    draw_curves(folder / LOG, folder / CURVES, {"loss": LOSSES, "held-out vehicles": VALIDATION})
    if tensorboard:
        _write_summary(folder / TENSORBOARD, line)


def require_tensorboard() -> None:
    """Raise UserError where TensorBoard is not installed."""
    if find_spec("tensorboard") is None:
        raise UserError("--tensorboard: it is not installed; pip install '.[tensorboard]'")


def _write_summary(folder: Path, line: Mapping[str, float]) -> None:
    """Write a file of one epoch's values; `purge_step` lets it take the place of what a killed run wrote of it."""
    from torch.utils.tensorboard import SummaryWriter

    epoch = int(line["epoch"])
    with SummaryWriter(folder, purge_step=epoch) as writer:
        for name, value in line.items():
            if name != "epoch":
                writer.add_scalar(name, value, epoch)
