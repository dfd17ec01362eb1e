"""Files of text that users give: lists, CSV, XML, COCO JSON, recipes, logs, metrics."""

import io
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from data_cache.base.config import resolve_recipe
from data_cache.base.files import read_json_lines
from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.problems import list_problems
from data_cache.parts.import_coco import import_coco, import_coco_results
from detect.annotations.convert import convert_voc
from detect.annotations.part_mapping import VAC21, read_mapping
from detect.annotations.reading import checked_reading, read_annotations
from detect.recipes import PRESETS as DETECTORS
from detect.recipes import DetectorRecipe
from helpers.toy.lists import VEHICLEID, VERI, VERI_TRACKS, VERIWILD_INFO, VRIC, veriwild
from helpers.toy.voc import voc_object, voc_xml
from reid.evaluation.metrics_file import read_metrics
from reid.recipes import PRESETS, ReidRecipe
from reid.training.log import keep_until
from soak.inputs.mutation import Target, mutate_json

COLOURS = ["1 red", "2 大众"]
LABELS = (
    '<?xml version="1.0" encoding="gb2312"?><T><Items><Item imageName="0001_c001_00016450_0.jpg" colorID="1" '
    'typeID="2"/><Item imageName="0002_c002_00030600_0.jpg" colorID="2"/></Items></T>'
)
CSV = (
    "name,vehicle_id,camera_id,split,colour\na.jpg,1,0,train,red\n"
    '"b, c.jpg",1,,train,\nd.jpg,2,3,query,\ne/f.jpg,2,4.0,gallery,"x\ny"\n'
)


def list_files(lines: Mapping[str, Sequence[str]], folder: str) -> dict[str, bytes]:
    """Return list files below `folder`, by name."""
    return {f"{folder}/{name}": "\n".join([*own, ""]).encode() for name, own in lines.items()}


def read_dataset(name: str, folder: Path) -> None:
    """Read a data set and look for problems in it."""
    list_problems(load_dataset(name, folder))


def veri() -> dict[str, bytes]:
    more = {"test_track.txt": VERI_TRACKS, "train_label.xml": [LABELS], "list_color.txt": COLOURS}
    return list_files({**VERI, **more}, "VeRi")


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (60, 40), (90, 120, 30)).save(buffer, "PNG")
    return buffer.getvalue()


def coco_document() -> dict[str, Any]:
    return {
        "images": [
            {"id": 1, "file_name": "a.png", "width": 60, "height": 40, "vehicle_id": "v"},
            {"id": "two", "file_name": "b/c.png", "width": 60, "height": 40},
        ],
        "categories": [{"id": 5, "name": "plate"}, {"id": 6, "name": "Back_Mirror"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 5, "bbox": [1, 2, 10.5, 8], "score": 0.5, "iscrowd": 0},
            {"id": 2, "image_id": "two", "category_id": 6, "bbox": [0, 0, 60, 40]},
        ],
    }


def coco_files() -> dict[str, bytes]:
    results = [{"image_id": 1, "category_id": 5, "bbox": [1, 2, 3, 4], "score": 0.25}]
    return {
        "coco.json": json.dumps(coco_document()).encode(),
        "results.json": json.dumps(results).encode(),
        **{name: picture() for name in ("a.png", "b/c.png")},
    }


def imported(folder: Path) -> None:
    import_coco(folder / "coco.json", dataset=None, top_k=2)
    import_coco_results(folder / "results.json", folder / "coco.json", dataset=None, top_k=2)


def annotated(folder: Path) -> None:
    if not checked_reading(folder / "coco.json", folder).faults:
        read_annotations(folder / "coco.json", folder)


def voc_files() -> dict[str, bytes]:
    objects = voc_object("plate", (1, 1, 20, 20)) + voc_object("Wheel", (5.5, 2, 60, 40), "<difficult>1</difficult>")
    return {"a.xml": voc_xml("a.png", (60, 40), objects).encode(), "a.png": picture()}


def recipe_files() -> dict[str, bytes]:
    given = PRESETS["pgan"].model_dump(mode="json")
    plain = "\n".join(f"{name}: {json.dumps(value)}" for name, value in given.items())
    detector = json.dumps(DETECTORS["demo"].model_dump(mode="json"))
    return {"pgan.yaml": plain.encode(), "detector.json": detector.encode()}


def read_recipe(folder: Path) -> None:
    """Read a recipe of re-identification and write it down, as every run does."""
    recipe = resolve_recipe(ReidRecipe, PRESETS, str(folder / "pgan.yaml"))
    json.dumps(recipe.model_dump(mode="json"), allow_nan=False)


def read_recipes(folder: Path) -> None:
    """Read both recipes, the second even if the first is refused."""
    try:
        read_recipe(folder)
    finally:
        recipe = resolve_recipe(DetectorRecipe, DETECTORS, str(folder / "detector.json"))
        json.dumps(recipe.model_dump(mode="json"), allow_nan=False)


def log_lines() -> dict[str, bytes]:
    epochs = [{"epoch": epoch, "loss": 1 / epoch, "validation_mAP": 0.5} for epoch in range(1, 4)]
    return {"log.jsonl": b"".join(json.dumps(line).encode() + b"\n" for line in epochs)}


def read_log(folder: Path) -> None:
    read_json_lines(folder / "log.jsonl")
    keep_until(folder, 2)


def metrics_written() -> dict[str, bytes]:
    values = dict.fromkeys(("mAP", "cmc1", "cmc5", "cmc10", "mINP"), 0.5)
    counts = {"queries": 4, "queries_without_match": 1, "gallery": 9, "trials": 1, "seed": None}
    scores = {"split": "test", **values, **counts, "deviation": None, "precision": "step"}
    run = {"dataset": "veri", "split": "test", "recipe": PRESETS["demo"].model_dump(mode="json")}
    made = {"protocol": {"draws": 1}, "checkpoint": {"file": "b", "epoch": 3}, "versions": {"torch": "2"}}
    return {"metrics.json": json.dumps({**run, **made, "scores": {"trained": scores}}).encode()}


TARGETS = {
    "lists of VeRi-776": Target(veri, partial(read_dataset, "veri")),
    "lists of VehicleID": Target(partial(list_files, VEHICLEID, "VehicleID"), partial(read_dataset, "vehicleid")),
    "lists of VRIC": Target(partial(list_files, VRIC, "VRIC"), partial(read_dataset, "vric")),
    "lists of VERI-Wild": Target(
        lambda: list_files({**veriwild(), "vehicle_info.txt": VERIWILD_INFO}, "VERI-Wild"),
        partial(read_dataset, "veriwild"),
    ),
    "CSV": Target(lambda: {"images.csv": CSV.encode()}, partial(read_dataset, "folder")),
    "CSV of the renderer": Target(
        lambda: {"synthetic/images.csv": CSV.encode(), "synthetic/synthetic.json": b'{"images": 4}'},
        partial(read_dataset, "synthetic"),
    ),
    "COCO to import": Target(coco_files, imported, mutate_json, ("coco.json", "results.json")),
    "COCO of parts": Target(coco_files, annotated, mutate_json, ("coco.json",)),
    "VOC": Target(
        voc_files, lambda folder: convert_voc(folder, folder, folder / "parts.json", VAC21), mutated=("a.xml",)
    ),
    "label mapping": Target(
        lambda: {"map.json": b'{"headlight": "car light", "bumper": null}'},
        lambda folder: read_mapping(folder / "map.json"),
        mutate_json,
    ),
    "recipe": Target(recipe_files, read_recipes),
    "log": Target(log_lines, read_log),
    "metrics": Target(metrics_written, lambda folder: read_metrics(folder / "metrics.json"), mutate_json),
}
