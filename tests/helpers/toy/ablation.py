"""Runs of an ablation that nobody trained: the files that a finished, stopped or unscored one leaves."""

from pathlib import Path
from typing import Any

import pytest
import torch

from data_cache.base.files import append_json_line, sha256_of_names, write_json
from data_cache.base.tensors import read_entry, save_tensors
from helpers.places.reid import Place as Commands
from helpers.toy.vehicles import Toy
from reid.ablation import files as table_files
from reid.ablation.place import Place
from reid.ablation.plan import Plan, Run, planned
from reid.ablation.tables import sheets_for
from reid.recipes import ATTENTIONS
from reid.training import log as training_log

OPTIONS = (
    "trunk_weights=null",
    "vehicles_per_batch=4",
    "images_per_vehicle=2",
    "holdout=0",
    "epochs=3",
    "image_size=64",
)
SETTINGS = [word for option in (*OPTIONS, "parts=2", "warmup_epochs=1") for word in ("--set", option)]
ONE = ("--recipe", "small", *SETTINGS, "--set", "features=32", "--set", "epochs=1", "--seeds", "1")
BASELINE, GRID = "baseline_features=32", "grid_features=32"  # names tell what rows could choose too
SETTING = "_features=32_parts=2"
WITHOUT_PAM, PGAN = f"pgan_no_pam{SETTING}", f"pgan{SETTING}"
TABLE = f"table-3{SETTING}.md"
FIGURES = ("mAP", "cmc1", "cmc5", "cmc10", "mINP")


def toy_place(toy: Toy, runs: Path, split: str = "test") -> Place:
    """Return the place of runs on the toy set, whose part cache must lie below `runs`."""
    return Place(toy.dataset, runs, None, split)


def toy_plan(*tables: str, figures: tuple[str, ...] = (), seeds: int = 1) -> Plan:
    """Return a plan for the toy set; its options leave alone what tables 1 and 2 and the figure differ in."""
    sheets = [one.without(("truth", "rarest"), "no truth") for one in sheets_for(tables, figures, "folder")]
    return planned(sheets, "small", [*OPTIONS, *([] if "5" in tables else ["parts=2"])], range(seeds))


def write_run(
    place: Place,
    toy: Toy,
    run: Run,
    *,
    epoch: int = 3,
    best: int = 2,
    scores: dict[str, float] | None = None,
    **other: Any,
) -> Path:
    """Write what a run leaves that has come to `epoch`, and its metrics where `scores` are given; return its folder.

    The images are those of the toy's train split, all of them, each once an epoch: 32.
    """
    folder = place.folder / run.folder
    train = toy.dataset.table[toy.dataset.table["split"] == "train"].sort_values("name")
    looks = run.recipe.attention in (ATTENTIONS["pgan"], ATTENTIONS["pgan_no_pam"]) and run.recipe.parts
    parts: dict[str, Any] = dict(toy.parts.fingerprint) if looks else {}
    if looks and run.boxes == "random":
        parts["control"] = {"boxes": "random", "seed": run.recipe.seed}
    if looks and run.boxes == "shifted":
        parts["control"] = {"boxes": "shifted", "by": 0.25}
    metadata = {
        "kind": "re-identification",
        "recipe": run.recipe.model_dump(mode="json"),
        "dataset": "folder",
        "images": sha256_of_names(train[["name", "vehicle_id"]].to_numpy().tolist()),
        "parts": parts,
        **other,
    }
    for name, number in (("last", epoch), ("best", best)):
        save_tensors(folder / f"{name}.safetensors", {"none": torch.zeros(1)}, {**metadata, "epoch": number})
    for number in range(epoch):
        append_json_line(folder / "log.jsonl", {"epoch": number + 1, "images_per_second": 8.0})  # 4 s an epoch
    if scores is not None:
        write_json(folder / place.split / "metrics.json", metrics(metadata, folder / "best.safetensors", best, scores))
    return folder


def metrics(metadata: dict[str, Any], checkpoint: Path, epoch: int, scores: dict[str, float]) -> dict[str, Any]:
    """Return what `evaluate` writes; the figures that are not given are 0.5."""
    counts = {"split": "test", "queries": 4, "queries_without_match": 0, "gallery": 12, "trials": 1, "seed": None}
    trained = {**dict.fromkeys(FIGURES, 0.5), **scores, "deviation": None, "precision": "step", **counts}
    return {
        "dataset": "folder",
        "split": "test",
        "recipe": metadata["recipe"],
        "checkpoint": {"file": "best.safetensors", "sha256": read_entry(checkpoint, "")[1], "epoch": epoch},
        "parts": metadata["parts"],
        "scores": {"trained": trained},
        "device": "CPU, 1 threads",
        "versions": {"torch": "2.0"},
        "commit": "abc",
    }


def draw_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a training and an ablation draw no pictures, which takes longer on the toy than all else."""
    monkeypatch.setattr(training_log, "draw_curves", lambda *_: None)
    monkeypatch.setattr(table_files, "draw_results", lambda results, path: path.touch())


def folder_of(place: Commands) -> Path:
    return place.runs / "folder" / "ablation"


def written(place: Commands) -> dict[str, int]:
    """When each checkpoint and each metrics.json was written, in nanoseconds."""
    files = [*folder_of(place).glob("*/*.safetensors"), *folder_of(place).glob("*/*/metrics.json")]
    return {str(path.relative_to(folder_of(place))): path.stat().st_mtime_ns for path in files}
