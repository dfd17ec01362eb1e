"""The training loop of stage two: plain torch, resumable to the bit, the best epoch chosen on held-out vehicles."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from data_cache.datasets import Dataset, faults
from data_cache.devices import describe_device
from data_cache.errors import UserError, start_worker
from data_cache.files import append_json_line, read_json_lines, sha256_of_names, write_atomically, write_json
from data_cache.locks import run_lock
from data_cache.parts import PartBoxes
from data_cache.progress import say, track
from reid.features import forward
from reid.holdout import Holdout, Vehicles, split_vehicles
from reid.images import Augmentation, Batch, collate, read_batches, vehicle_images
from reid.losses import Criterion
from reid.recipes import ReidRecipe
from reid.sampler import PKSampler
from reid.schedule import learning_rate
from reid.state import BEST, LAST, State, checkpoint_to_resume, restore, save, start_state


def train(recipe: ReidRecipe, dataset: Dataset, parts: PartBoxes, folder: Path, *, device: str, workers: int) -> Path:
    """Train on the train split and return the best checkpoint; a finished run is kept, a killed one goes on.

    Raises UserError for faults of the data set, a run of another recipe in `folder`, or a loss that is not finite.
    """
    found = faults(dataset)
    if found:
        raise UserError(f"{dataset.root}: {'; '.join(found)}; `python cli.py check` shows them")
    vehicles = split_vehicles(dataset, recipe)
    identity = _identity(recipe, dataset, parts, vehicles)
    with run_lock(folder):
        checkpoint = checkpoint_to_resume(folder, identity)
        if checkpoint is not None and checkpoint.metadata["epoch"] == recipe.epochs:
            say(f"{folder}: already trained, {recipe.epochs} epochs")
            return folder / BEST
        write_json(folder / "recipe.json", identity["recipe"])
        state = start_state(recipe, len(vehicles.trained), device)
        if checkpoint is not None:
            restore(state, checkpoint)
            say(f"resuming after epoch {state.epoch} of {recipe.epochs}")
        say(f"training {len(vehicles.images)} images of {len(vehicles.trained)} vehicles on {describe_device(device)}")
        loader = training_loader(recipe, dataset, parts, vehicles, device=device, workers=workers)
        holdout = Holdout(dataset, vehicles.held_out, parts, recipe, device, workers) if recipe.holdout else None
        _run(state, recipe, loader, holdout, folder, identity)
    return folder / BEST


def _identity(recipe: ReidRecipe, dataset: Dataset, parts: PartBoxes, vehicles: Vehicles) -> dict[str, Any]:
    return {
        "kind": "re-identification",
        "recipe": recipe.model_dump(mode="json"),
        "dataset": dataset.name,
        "images": sha256_of_names(vehicles.images[["name", "vehicle_id"]].to_numpy().tolist()),
        "parts": dict(parts.fingerprint),
        "vehicles": len(vehicles.trained),
    }


@dataclass(frozen=True)
class LabelledLoader:
    """Batches of training images; `paths` (N) and label (N,), the class numbers on the device, are of every image."""

    paths: Sequence[Path]
    sampler: PKSampler
    batches: DataLoader[Any]  # of Batch
    label: Tensor
    device: str


def training_loader(
    recipe: ReidRecipe, dataset: Dataset, parts: PartBoxes, vehicles: Vehicles, *, device: str, workers: int
) -> LabelledLoader:
    """Return augmented PK batches of the training vehicles' images. Raises UserError where they cannot fill one."""
    images = vehicle_images(dataset, parts, list(vehicles.images["name"]), depth=recipe.parts, size=recipe.image_size)
    images.augmentation, images.seed = Augmentation(recipe.flip, recipe.erase), recipe.seed
    label = np.searchsorted(vehicles.trained, vehicles.images["vehicle_id"].to_numpy(dtype=str))
    sampler = PKSampler(label, vehicles=recipe.vehicles_per_batch, images=recipe.images_per_vehicle, seed=recipe.seed)
    loader: DataLoader[Any] = DataLoader(
        images,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=start_worker,
        pin_memory=device == "cuda",
        persistent_workers=workers > 0,
    )
    return LabelledLoader(images.paths, sampler, loader, torch.from_numpy(label).to(device), device)


def _run(
    state: State,
    recipe: ReidRecipe,
    loader: LabelledLoader,
    holdout: Holdout | None,
    folder: Path,
    identity: Mapping[str, Any],
) -> None:
    criterion = Criterion(recipe.identity_weight, recipe.margin, recipe.triplets)
    _keep_log_until(folder / "log.jsonl", state.epoch)
    while state.epoch < recipe.epochs:
        rate = learning_rate(recipe, state.epoch)
        line = _train_epoch(state, criterion, loader, rate, f"epoch {state.epoch + 1}/{recipe.epochs}")
        state.epoch += 1
        if holdout is not None and (state.epoch == recipe.epochs or state.epoch % recipe.validate_every == 0):
            line |= holdout(state.network)
        # Without held-out vehicles the newest epoch counts as the best; the test set never decides.
        score = line.get("validation_mAP", -1.0) if holdout is not None else float(state.epoch)
        if score > state.best:
            state.best = score
            save(state, folder / BEST, identity, with_optimiser=False)
        append_json_line(folder / "log.jsonl", {"epoch": state.epoch, **line, "learning_rate": rate})
        save(state, folder / LAST, identity, with_optimiser=True)
        say(f"epoch {state.epoch}/{recipe.epochs}: " + ", ".join(f"{name} {value:.3g}" for name, value in line.items()))


def _train_epoch(
    state: State, criterion: Criterion, loader: LabelledLoader, rate: float, title: str
) -> dict[str, float]:
    state.network.train()
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    loader.sampler.start_epoch(state.epoch)
    totals: dict[str, Tensor] = {}
    started, seen = time.monotonic(), 0
    for batch in track(read_batches(loader.batches), title, len(loader.sampler)):
        terms = _step(state, criterion, batch, loader)
        totals = {name: totals.get(name, 0) + value.detach() for name, value in terms.items()}
        seen += len(batch.index)
    means = {name: float(total) / len(loader.sampler) for name, total in totals.items()}
    return means | {"images_per_second": seen / (time.monotonic() - started)}


def _step(state: State, criterion: Criterion, batch: Batch, loader: LabelledLoader) -> dict[str, Tensor]:
    with torch.autocast(loader.device, dtype=torch.bfloat16):
        output = forward(state.network, batch, loader.device)
        terms = criterion(output, loader.label[batch.index.to(loader.device)])
    if not torch.isfinite(terms["loss"]):
        paths = ", ".join(str(loader.paths[index]) for index in batch.index.tolist())
        raise UserError(
            f"the loss is {terms['loss'].item()} in epoch {state.epoch + 1}; the last good checkpoint is kept; "
            f"lower learning_rate, or look at the batch: {paths}"
        )
    state.optimiser.zero_grad(set_to_none=True)
    terms["loss"].backward()  # type: ignore[no-untyped-call]
    state.optimiser.step()
    return terms


def _keep_log_until(path: Path, epoch: int) -> None:
    """Drop the lines of epochs that a killed run logged but did not save."""
    lines = [line for line in read_json_lines(path) if line["epoch"] <= epoch]
    write_atomically(path, b"".join(json.dumps(line).encode() + b"\n" for line in lines))
