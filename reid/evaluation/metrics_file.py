"""What an evaluation leaves: metrics.json, which tells where its figures come from, and queries.csv, a row a query."""

import json
import subprocess
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, Field, ValidationError

from data_cache.base.devices import describe_device
from data_cache.base.errors import UserError
from data_cache.base.files import read_json, write_atomically
from data_cache.datasets.protocols import Protocol
from reid.evaluation.scoring import Results
from reid.retrieval.scores import FIGURES, Scores

METRICS, QUERIES = "metrics.json", "queries.csv"
AGAIN = "run `python cli.py evaluate` again"
PACKAGES = ("pgan-vehicle-reid", "torch", "torchvision", "numpy", "onedl-mmdetection")


class _Made(BaseModel):
    """What every reader of metrics.json relies on; what else is there is passed through."""

    dataset: str
    split: str
    scores: dict[str, Scores] = Field(min_length=1)
    checkpoint: dict[str, Any] = {}
    protocol: dict[str, Any] = {}
    versions: dict[str, str] = {}


def read_metrics(path: Path) -> dict[str, Any]:
    """Return what an evaluation wrote to `path`. Raises UserError where it is missing, damaged or of another form.

    JSON has no checksum: a digit that has changed is another figure, and goes unseen.
    """
    metrics = read_json(path)
    try:
        made = _Made.model_validate_json(json.dumps(metrics), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "metrics"
        raise UserError(f"{path}: damaged, or of another version ({place}: {first['msg']}); {AGAIN}") from error
    for row, scores in made.scores.items():
        wrong = [figure for figure in FIGURES if not 0 <= getattr(scores, figure) <= 1]
        if wrong:
            raise UserError(f"{path}: damaged ({row}: {wrong[0]} is not in [0, 1]); {AGAIN}")
    return dict(metrics)


def circumstances(device: str) -> dict[str, Any]:
    """Return where and with what figures are made: device, versions of packages, commit of this code, and the time."""
    return {
        "device": describe_device(device),
        "versions": {package: version(package) for package in PACKAGES},
        "commit": commit_of(Path(__file__).parent),
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def protocol_record(protocol: Protocol, scores: Scores) -> dict[str, Any]:
    """Return what repeats a protocol: junk rule, draws and their seed, form of precision, and what is ranked."""
    return {
        "same_camera_is_junk": protocol.same_camera_is_junk,
        "draws": scores.trials,
        "seed": scores.seed,
        "precision": scores.precision,
        "ranks": "images" if protocol.trials[0].tracks is None else "tracks",
    }


def write_queries(path: Path, table: pd.DataFrame, protocol: Protocol, results: Mapping[str, Results]) -> None:
    """Write a row for each query of each trial and each of `results`; a query without a match has 0 for its figures."""
    rows = [
        table.iloc[trial.query][["name", "vehicle_id", "camera_id"]].assign(row=row, draw=draw, **vars(found))
        for row, trials in results.items()
        for draw, (trial, found) in enumerate(zip(protocol.trials, trials, strict=True))
    ]
    everything = pd.concat(rows)
    first = ["row", "draw", "name"]
    columns = [*first, *(column for column in everything.columns if column not in first)]
    write_atomically(path, everything.to_csv(columns=columns, index=False, lineterminator="\n").encode())


def commit_of(folder: Path) -> str | None:
    """Return the commit of the code in a folder, with "-dirty" where files differ from it; None without git.

    An installed copy has none, though it may lie in somebody's repository, which does not hold it.
    """
    held = _git(folder, "ls-files", "--", ".")
    return _git(folder, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty") if held else None


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        found = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
