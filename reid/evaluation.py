"""Evaluation of a run: features of the test images, the protocol's trials, and metrics.json with where it came from."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import nn

from data_cache.datasets import Dataset
from data_cache.devices import describe_device
from data_cache.files import write_json
from data_cache.parts import PartBoxes
from data_cache.progress import say
from data_cache.tensors import content_hash
from reid.features import cached_features
from reid.features_file import Features
from reid.network import Checkpoint, trained_network, untrained_networks
from reid.scores import Scores, score

PACKAGES = ("pgan-vehicle-reid", "torch", "torchvision", "numpy", "onedl-mmdetection")


@dataclass(frozen=True)
class Evaluation:
    """Scores by row (trained, and what it is compared with), and the features of the trained network."""

    scores: dict[str, Scores]
    features: Features
    metrics: dict[str, Any]
    folder: Path


def evaluate(
    dataset: Dataset,
    parts: PartBoxes,
    checkpoint: Checkpoint,
    split: str,
    *,
    draws: int,
    seed: int,
    untrained: bool,
    device: str,
    workers: int,
) -> Evaluation:
    """Score a run's checkpoint on a test and write metrics.json into the folder `split` beside it.

    `untrained` adds the network before training, and its trunk alone, under the same protocol. Features that are up to
    date are reused. Raises UserError where parts or features do not fit.
    """
    run = checkpoint.path.parent
    protocol = dataset.protocol(split, draws=draws, seed=seed)
    names = sorted(dataset.table["name"].iloc[protocol.rows()])
    networks: dict[str, tuple[nn.Module, str]] = {"trained": (trained_network(checkpoint), checkpoint.sha256)}
    if untrained:
        before = untrained_networks(checkpoint.recipe, int(checkpoint.metadata["vehicles"]))
        networks |= {row: (network, content_hash(network.state_dict(), {})) for row, network in before.items()}
    features = {
        row: cached_features(
            _features_path(run / split, row),
            network,
            dataset,
            names,
            parts,
            checkpoint.recipe,
            weights,
            device=device,
            workers=workers,
        )
        for row, (network, weights) in networks.items()
    }
    scores = {row: score(values, dataset, split, draws=draws, seed=seed) for row, values in features.items()}
    metrics = _metrics(dataset, run, split, checkpoint, scores, device)
    write_json(run / split / "metrics.json", metrics)
    say(f"wrote {run / split / 'metrics.json'}")
    return Evaluation(scores, features["trained"], metrics, run / split)


def _features_path(folder: Path, row: str) -> Path:
    return folder / ("features.safetensors" if row == "trained" else f"features-{row}.safetensors")


def _metrics(
    dataset: Dataset, run: Path, split: str, checkpoint: Checkpoint, scores: dict[str, Scores], device: str
) -> dict[str, Any]:
    trained = scores["trained"]
    return {
        "dataset": dataset.name,
        "split": split,
        "protocol": {
            "same_camera_is_junk": dataset.protocol(split, draws=1).same_camera_is_junk,
            "draws": trained.trials,
            "seed": trained.seed,
        },
        "recipe_name": run.name,
        "recipe": checkpoint.recipe.model_dump(mode="json"),
        "checkpoint": {
            "file": checkpoint.path.name,
            "sha256": checkpoint.sha256,
            "epoch": checkpoint.metadata["epoch"],  # None where it is not known, of imported weights
            **({"source": checkpoint.metadata["source"]} if "source" in checkpoint.metadata else {}),
        },
        "scores": {row: values.as_json() for row, values in scores.items()},
        "device": describe_device(device),
        "versions": {package: version(package) for package in PACKAGES},
        "commit": _git(["rev-parse", "HEAD"]),
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _git(arguments: Sequence[str]) -> str | None:
    folder = Path(__file__).parent
    try:
        found = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None  # no git here: an installed copy has no commit to tell
    return found.stdout.strip() or None
