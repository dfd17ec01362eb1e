"""Ablation runs without training: the files that a finished, interrupted or unscored run leaves."""

from pathlib import Path
from typing import Any

import pytest
import torch

from data_cache.base.files import append_json_line, sha256_of_names, write_json
from data_cache.base.tensors import read_entry, save_tensors
from helpers.places.reid import Place
from helpers.toy.vehicles import Toy
from reid.ablation import table_files
from reid.ablation.plan import Plan, Run, plan_runs
from reid.ablation.tables import select_tables
from reid.ablation.workspace import Workspace
from reid.retrieval.metrics import METRIC_NAMES
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
ONE_EPOCH = ("--recipe", "small", *SETTINGS, "--set", "features=32", "--set", "epochs=1", "--seeds", "1")
BASELINE, GRID = "baseline_features=32", "grid_features=32"
SETTING = "_features=32_parts=2"
WITHOUT_PAM, PGAN = f"pgan_no_pam{SETTING}", f"pgan{SETTING}"
TABLE = f"table-3{SETTING}.md"


def toy_workspace(toy: Toy, runs: Path, split: str = "test") -> Workspace:
    """Return the workspace of runs on the toy set, whose part cache must be in `runs`."""
    return Workspace(toy.dataset, runs, None, split)


def toy_plan(*tables: str, figures: tuple[str, ...] = (), seeds: int = 1) -> Plan:
    """Return a plan for the toy set, without rows on true boxes."""
    selected = [table.without(("truth", "rarest"), "no truth") for table in select_tables(tables, figures, "folder")]
    overrides = [*OPTIONS, *([] if "5" in tables else ["parts=2"])]
    return plan_runs(selected, "small", "folder", overrides, range(seeds))


def write_run(
    workspace: Workspace,
    toy: Toy,
    run: Run,
    *,
    epoch: int = 3,
    best: int = 2,
    scores: dict[str, float] | None = None,
    **metadata: Any,
) -> Path:
    """Write the files of a run after `epoch`, and metrics.json if there are `scores`; return its folder.

    Every epoch trains once on each of the toy's 32 training images.
    """
    folder = workspace.folder / run.folder
    train = toy.dataset.table[toy.dataset.table["split"] == "train"].sort_values("name")
    parts: dict[str, Any] = dict(toy.parts.fingerprint) if run.recipe.uses_parts else {}
    if run.recipe.uses_parts and run.boxes == "random":
        parts["control"] = {"boxes": "random", "seed": run.recipe.seed}
    if run.recipe.uses_parts and run.boxes == "shifted":
        parts["control"] = {"boxes": "shifted", "by": 0.25}
    metadata = {
        "kind": "re-identification",
        "recipe": run.recipe.model_dump(mode="json"),
        "dataset": "folder",
        "images": sha256_of_names(train[["name", "vehicle_id"]].to_numpy().tolist()),
        "parts": parts,
        **metadata,
    }
    for name, number in (("last", epoch), ("best", best)):
        save_tensors(folder / f"{name}.safetensors", {"none": torch.zeros(1)}, {**metadata, "epoch": number})
    for number in range(epoch):
        append_json_line(folder / "log.jsonl", {"epoch": number + 1, "images_per_second": 8.0})  # 4 s per epoch
    if scores is not None:
        metrics = make_metrics(metadata, folder / "best.safetensors", best, scores)
        write_json(folder / workspace.split / "metrics.json", metrics)
    return folder


def make_metrics(metadata: dict[str, Any], checkpoint: Path, epoch: int, scores: dict[str, float]) -> dict[str, Any]:
    """Return a metrics.json as `evaluate` writes it; metrics not in `scores` are 0.5."""
    counts = {"split": "test", "queries": 4, "queries_without_match": 0, "gallery": 12, "trials": 1, "seed": None}
    trained = {**dict.fromkeys(METRIC_NAMES, 0.5), **scores, "deviation": None, "precision": "step", **counts}
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
    """Replace the charts of trainings and ablations, which take longest on the toy set, by empty files."""
    monkeypatch.setattr(training_log, "draw_curves", lambda *_: None)
    monkeypatch.setattr(table_files, "draw_results", lambda results, path: path.touch())


def ablation_folder_of(place: Place) -> Path:
    return place.runs / "folder" / "ablation"


def write_times(place: Place) -> dict[str, int]:
    """Return when each checkpoint and metrics.json was written, in nanoseconds, by its path in the folder."""
    folder = ablation_folder_of(place)
    files = [*folder.glob("*/*.safetensors"), *folder.glob("*/*/metrics.json")]
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in files}
