"""The report: one HTML page that holds everything it shows, and opens anywhere without a server."""

import base64
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_cache.datasets import Dataset
from data_cache.errors import UserError
from data_cache.files import read_json, sha256_of_file, write_atomically
from data_cache.parts import PartBoxes
from reid.curves import loss_curve, read_log, validation_curve
from reid.features_file import Features
from reid.part_statistics import part_statistics
from reid.pictures import attends_to_parts, encode, tiles_of
from reid.ranked_lists import RankedList, ranked_lists
from reid.score_table import HEADINGS, counted, percent

TEMPLATE = Path(__file__).with_name("report.html.jinja")
ROWS = {"trained": "trained", "untrained": "the network before training", "trunk": "its trunk alone, before training"}
TILE_HEIGHT = 180
Json = Mapping[str, Any]


def write_report(
    folder: Path,
    *,
    dataset: Dataset,
    parts: PartBoxes,
    features: Features,
    metrics: Json,
    detector_folder: Path | None,
    target: Path,
    queries: int = 12,
    top_k: int = 8,
) -> Path:
    """Write the page of the run in `folder` to `target` and return it.

    `metrics` is the content of metrics.json, `features` those it scored. `detector_folder` is the folder of a detector,
    or one of several, of which the one that made the part cache is taken. Raises UserError where these do not fit
    together, and where an image cannot be shown.
    """
    _require_fit(dataset, features, metrics)
    seed = metrics["scores"]["trained"]["seed"]
    protocol = dataset.protocol(metrics["split"], draws=1, seed=seed or 0)
    lists = ranked_lists(features, dataset, protocol, queries=queries, top_k=top_k)
    page = _render(
        metrics=metrics,
        figures=HEADINGS,
        scores=[_score_row(name, scores) for name, scores in metrics["scores"].items()],
        counts=list(dict.fromkeys(counted(scores) for scores in metrics["scores"].values())),
        detector=_detector(detector_folder, parts),
        curves=_curves(folder),
        parts=part_statistics(parts, features),
        weighs_parts=attends_to_parts(parts, features),
        lists=[_shown_list(found, dataset, parts, features) for found in lists],
        top_k=top_k,
        commands=_commands(metrics),
        recipe=json.dumps(metrics.get("recipe", {}), indent=2, ensure_ascii=False),
        part_cache=json.dumps(parts.fingerprint, indent=2, ensure_ascii=False),
    )
    write_atomically(target, page.encode())
    return target


def _require_fit(dataset: Dataset, features: Features, metrics: Json) -> None:
    if not {"dataset", "split", "scores"} <= set(metrics) or "trained" not in metrics["scores"]:
        raise UserError("metrics.json: no scores of a trained network in it; run `python cli.py evaluate` again")
    if metrics["dataset"] != dataset.name:
        raise UserError(f"metrics.json is of data set {metrics['dataset']}, not {dataset.name}")
    made_by, scored = features.provenance.get("weights"), metrics.get("checkpoint", {}).get("sha256")
    if made_by and scored and made_by != scored:
        raise UserError("the features are of another checkpoint than metrics.json; run `python cli.py evaluate` again")


def _render(**content: Any) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # File names and ids come from data sets: everything is escaped unless it is marked safe in the template.
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE.name).render(**content)


def _score_row(name: str, scores: Json) -> dict[str, Any]:
    return {"name": ROWS.get(name, name), "cells": [percent(scores, figure) for figure in HEADINGS]}


def _curves(folder: Path) -> dict[str, str | None]:
    log = read_log(folder / "log.jsonl")
    return {"loss": loss_curve(log), "validation": validation_curve(log)}


def _detector(folder: Path | None, parts: PartBoxes) -> dict[str, Any]:
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


def _shown_list(found: RankedList, dataset: Dataset, parts: PartBoxes, features: Features) -> dict[str, Any]:
    tiles = tiles_of(found, dataset, parts, features, height=TILE_HEIGHT)
    pictures = [
        {"source": _data_uri(encode(picture, "JPEG"), "image/jpeg"), "width": picture.width, "height": picture.height}
        for picture in tiles
    ]
    return {"about": found, "query": pictures[0], "ranked": list(zip(found.images, pictures[1:], strict=True))}


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _commands(metrics: Json) -> list[str]:
    """Return the commands that make this page again."""
    trained = metrics["scores"]["trained"]
    run = ["--dataset", metrics["dataset"], "--recipe", metrics.get("recipe_name", "pgan")]
    draws = ["--draws", str(trained["trials"]), "--seed", str(trained["seed"])] if trained["trials"] > 1 else []
    untrained = ["--untrained"] if len(metrics["scores"]) > 1 else []
    test = ["--split", metrics["split"]]
    steps: Sequence[Sequence[str]] = (
        ["detect", "--dataset", metrics["dataset"]],
        _making(metrics, run),
        ["evaluate", *run, *test, *draws, *untrained],
        ["report", *run, *test],
    )
    return [shlex.join(["python", "cli.py", *step]) for step in steps]


def _making(metrics: Json, run: Sequence[str]) -> Sequence[str]:
    """Return the command that makes the checkpoint of a run: one with a source was imported."""
    if "source" not in metrics.get("checkpoint", {}):
        return ["train", *run]
    place = ["--dataset", metrics["dataset"], "--name", metrics["recipe_name"]]
    return ["import-weights", "--official", "model_best.pth", *place, "--parts-depth", str(metrics["recipe"]["parts"])]
