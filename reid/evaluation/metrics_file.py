"""The files of an evaluation: metrics.json with the scores and their origin, queries.csv with a line per query."""

import json
import logging
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
from data_cache.base.files import read_json, write_atomically, write_json
from data_cache.datasets.dataset import Dataset, is_stand_in
from reid.retrieval.metrics import METRIC_NAMES, Scores
from reid.retrieval.reranking import K1, K2, WEIGHT
from reid.retrieval.scoring import ScoredTest, Scoring

log = logging.getLogger(__name__)

METRICS, QUERIES = "metrics.json", "queries.csv"
REMEDY = "run `python cli.py evaluate` again"
PACKAGES = ("pgan-vehicle-reid", "torch", "torchvision", "numpy", "onedl-mmdetection")


class _Required(BaseModel):
    """The entries of metrics.json that readers rely on; others are passed through."""

    dataset: str
    split: str
    scores: dict[str, Scores] = Field(min_length=1)
    checkpoint: dict[str, Any] = {}
    protocol: dict[str, Any] = {}
    versions: dict[str, str] = {}


def read_metrics(path: Path) -> dict[str, Any]:
    """Return the content of a metrics.json. Raises UserError if it is missing, damaged or of another version.

    The file has no checksum, so a changed digit goes unnoticed.
    """
    metrics = read_json(path)
    try:
        required = _Required.model_validate_json(json.dumps(metrics), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "metrics"
        raise UserError(f"{path}: damaged, or of another version ({key}: {first['msg']}); {REMEDY}") from error
    for row, scores in required.scores.items():
        wrong = [name for name in METRIC_NAMES if not 0 <= getattr(scores, name) <= 1]
        if wrong:
            raise UserError(f"{path}: damaged ({row}: {wrong[0]} is not in [0, 1]); {REMEDY}")
    return dict(metrics)


def write_evaluation(
    folder: Path, dataset: Dataset, test: ScoredTest, scoring: Scoring, origin: Mapping[str, Any], device: str
) -> dict[str, Any]:
    """Write metrics.json and queries.csv of a test into `folder`; return the content of metrics.json.

    `origin` are the entries on what was scored: network, part boxes, features.
    """
    protocol = test.protocol
    record: dict[str, Any] = {
        "same_camera_is_junk": protocol.same_camera_is_junk,
        "draws": len(protocol.trials),
        "seed": protocol.seed,
        "precision": scoring.form,
        "ranks": "images" if protocol.trials[0].tracks is None else "tracks",
    }
    if scoring.rerank:
        record["rerank"] = {"k1": K1, "k2": K2, "lambda": WEIGHT}
    if scoring.expand:
        record["expand"] = scoring.expand
    metrics = {
        "dataset": dataset.name,
        "rendered": dataset.rendered,
        "split": protocol.split,
        "protocol": record,
        **origin,
        "scores": {row: scores.to_dict() for row, scores in test.scores.items()},
        **environment(device),
    }
    _write_queries(folder / QUERIES, dataset.table, test)
    write_json(folder / METRICS, metrics)
    if is_stand_in(dataset):
        log.info(f"rendered vehicles in the layout of {dataset.name}: these are not results on {dataset.name} itself")
    log.info(f"wrote {folder / METRICS} and {QUERIES} beside it")
    return metrics


def _write_queries(path: Path, table: pd.DataFrame, test: ScoredTest) -> None:
    """Write a line per query, trial and row of metrics.json; a query without a match has 0 for its metrics."""
    trials = test.protocol.trials
    lines = [
        table.iloc[trial.query][["name", "vehicle_id", "camera_id"]].assign(row=row, draw=draw, **vars(results))
        for row, by_trial in test.results.items()
        for draw, (trial, results) in enumerate(zip(trials, by_trial, strict=True))
    ]
    queries = pd.concat(lines)
    first = ["row", "draw", "name"]
    columns = [*first, *(column for column in queries.columns if column not in first)]
    write_atomically(path, queries.to_csv(columns=columns, index=False, lineterminator="\n").encode())


def environment(device: str) -> dict[str, Any]:
    """Return the entries of metrics.json on the computation: device, package versions, commit of this code, time."""
    return {
        "device": describe_device(device),
        "versions": {package: version(package) for package in PACKAGES},
        "commit": commit_of(Path(__file__).parent),
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def commit_of(folder: Path) -> str | None:
    """Return the commit of the code in a folder, with "-dirty" if files differ from it; None if git does not track it.

    An installed copy has none, even inside another project's repository.
    """
    tracked = _git(folder, "ls-files", "--", ".")
    return _git(folder, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty") if tracked else None


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        result = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None
