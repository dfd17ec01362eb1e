"""A run folder from the network that ships with the package, used by every command like a trained one."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from reid import shipped
from reid.evaluation.calibration import FILE, read_calibration
from reid.model.checkpoint import read_checkpoint
from reid.publish.official_import import write_imported
from reid.runs import BEST, run_folder


def import_shipped(runs: Path, dataset: str, command: Mapping[str, Any]) -> tuple[Path, bool]:
    """Write the shipped network as the run `shipped` of a data set; return its folder, and whether it was new.

    `command` (see `running_command`) is kept beside it, and the calibration that ships with it. The run is not tied to
    the boxes of the training: it reads the data set's part cache, whichever detector made it. Raises UserError if the
    shipped file is missing or damaged, or the folder holds another network.
    """
    checkpoint = read_checkpoint(shipped.weights())
    trained_on = checkpoint.metadata["dataset"]
    source = {"weights": "that ship with the package", "sha256": shipped.SHA256, "trained_on": trained_on}
    metadata = {**checkpoint.metadata, "dataset": dataset, "source": source}
    metadata.pop("parts", None)
    folder = run_folder(runs, dataset, shipped.NAME)
    written = write_imported(
        folder, checkpoint.tensors, metadata, command, f"delete {folder / BEST} and what was made with it"
    )
    calibrated = read_calibration(shipped.PATH.parent, checkpoint.sha256)
    if calibrated is not None and not (folder / FILE).exists():  # nor if it was stopped before this line
        replace(calibrated, checkpoint=read_checkpoint(folder / BEST).sha256).write(folder)
    return folder, written
