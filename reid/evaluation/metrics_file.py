"""The files of an evaluation: metrics.json with the scores and their origin, queries.csv with a line per query."""

import json
import logging
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field, ValidationError

from data_cache.base.devices import describe_device
from data_cache.base.errors import UserError, short_repr
from data_cache.base.files import read_json, write_atomically, write_json
from data_cache.base.options import remedy_command
from data_cache.datasets.dataset import Dataset, is_stand_in
from reid.retrieval.metrics import METRIC_NAMES, Scores
from reid.retrieval.reranking import K1, K2, WEIGHT
from reid.retrieval.scoring import ScoredTest, Scoring, camera_gap
from reid.runs import METRICS, run_name

log = logging.getLogger(__name__)

QUERIES = "queries.csv"
TRAINED, EXTERNAL = "trained", "given"  # rows of metrics.json: a trained network, features of another system
QUERY_COLUMNS = ("draw", "name", "vehicle_id", "first_hit_rank", "average_precision", "positives")
SAME = 1e-9  # of means computed from the same numbers
PACKAGES = ("pgan-vehicle-reid", "torch", "torchvision", "numpy", "onedl-mmdetection")


def again() -> str:
    """Return the remedy for results that are missing, damaged or of another version."""
    return f"run {remedy_command('evaluate')} again"


def not_evaluated(path: Path, split: str) -> UserError:
    """Return the error for a run without the metrics.json `path` of a test."""
    command = remedy_command("evaluate", {"--run": run_name(path.parents[1]), "--split": split})
    return UserError(f"{path}: not evaluated on {split}; run {command} first")


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
        raise UserError(f"{path}: damaged, or of another version ({key}: {first['msg']}); {again()}") from error
    for row, scores in required.scores.items():
        values = {name: getattr(scores, name) for name in METRIC_NAMES}
        wrong = [name for name, value in values.items() if value is not None and not 0 <= value <= 1]
        if wrong:
            raise UserError(f"{path}: damaged ({row}: {wrong[0]} is not in [0, 1]); {again()}")
    return dict(metrics)


def plain_row(metrics: Mapping[str, Any], path: Path) -> str:
    """Return the row of a metrics.json whose scores are those of the system itself. Raises UserError without one."""
    row = next((row for row in (TRAINED, EXTERNAL) if row in metrics["scores"]), None)
    if row is None:
        raise UserError(f"{path}: it has no scores of a trained network or of another system's features; {again()}")
    return row


def read_queries(path: Path, row: str, scores: Mapping[str, Any]) -> pd.DataFrame:
    """Return the lines of a queries.csv of a row, QUERY_COLUMNS, in the order of the file.

    Raises UserError if the file is missing or damaged, or if its means are not `scores`, those of metrics.json.
    """
    kinds = {"draw": int, "first_hit_rank": int, "positives": int, "average_precision": float}
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        lines = table.loc[table["row"] == row, list(QUERY_COLUMNS)].astype(kinds).reset_index(drop=True)
    except FileNotFoundError as error:
        raise UserError(f"{path}: missing; {again()}") from error
    except (OSError, KeyError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise UserError(f"{path}: damaged, or of another version ({short_repr(error)}); {again()}") from error
    matched = lines[lines["positives"] > 0].assign(cmc1=lines["first_hit_rank"] == 1)
    means = matched.groupby("draw")[["average_precision", "cmc1"]].mean().mean()
    if not np.allclose(means, (scores["mAP"], scores["cmc1"]), rtol=0, atol=SAME):
        raise UserError(f"{path}: its results are not those of {METRICS} beside it; {again()}")
    return lines


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
    if scoring.database:
        record["database"] = scoring.database
    rows = {row: scores.to_dict() for row, scores in test.scores.items()}
    gap = camera_gap(rows)
    metrics = {
        "dataset": dataset.name,
        "rendered": dataset.rendered,
        "split": protocol.split,
        "protocol": record,
        **origin,
        "scores": rows,
        **({} if gap is None else {"camera_gap": gap}),
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
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
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
