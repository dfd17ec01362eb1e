"""The log of a training, one entry per epoch: log.jsonl, curves.png, and optionally TensorBoard's files."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from data_cache.base.errors import UserError
from data_cache.base.files import append_json_line, read_json_lines, write_atomically
from data_cache.images.plots import draw_curves
from reid.runs import BEST

LOG, CURVES, TENSORBOARD = "log.jsonl", "curves.png", "tensorboard"
LOSSES = {
    "loss": "total",
    "identity": "identity",
    "fusion": "fusion vector",
    "global": "global vector",
    "part": "part vector",
}
VALIDATION = {"validation_mAP": "mAP", "validation_cmc1": "CMC@1"}


def keep_until(folder: Path, epoch: int) -> None:
    """Drop the lines of later epochs, which a killed run logged but did not save.

    Raises UserError if the log is damaged.
    """
    lines = read_json_lines(folder / LOG)
    if not all(isinstance(line.get("epoch"), int) for line in lines):
        raise UserError(f"{folder / LOG}: damaged log (a line without an epoch); delete it")
    kept = [json.dumps(line).encode() + b"\n" for line in lines if line["epoch"] <= epoch]
    write_atomically(folder / LOG, b"".join(kept))


def is_cleaned(folder: Path, epochs: int) -> bool:
    """Return whether a training is finished though `clean` removed its last checkpoint: it logged the last epoch.

    One that was stopped between the log of its first epoch and its first checkpoint looks the same if it has no other
    epoch: it is trained again.
    """
    return (
        epochs > 1
        and (folder / BEST).exists()
        and [line.get("epoch") for line in read_json_lines(folder / LOG)][-1:] == [epochs]
    )


def log_epoch(folder: Path, line: Mapping[str, float], *, tensorboard: bool) -> None:
    """Append an epoch's line to the log and draw the curves again."""
    append_json_line(folder / LOG, line)
    draw_curves(folder / LOG, folder / CURVES, {"loss": LOSSES, "held-out vehicles": VALIDATION})
    if tensorboard:
        _write_summary(folder / TENSORBOARD, line)


def require_tensorboard() -> None:
    """Raise UserError if TensorBoard is not installed."""
    if find_spec("tensorboard") is None:
        raise UserError("--tensorboard: it is not installed; pip install '.[tensorboard]'")


def _write_summary(folder: Path, line: Mapping[str, float]) -> None:
    """Write a file with one epoch's values; `purge_step` makes it replace what a killed run wrote for that epoch."""
    from torch.utils.tensorboard import SummaryWriter

    epoch = int(line["epoch"])
    with SummaryWriter(folder, purge_step=epoch) as writer:
        for name, value in line.items():
            if name != "epoch":
                writer.add_scalar(name, value, epoch)
