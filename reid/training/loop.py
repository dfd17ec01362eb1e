"""The training loop: the batches of every epoch, its validation, its line in the log, and its checkpoints."""

import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data_cache.base.devices import autocast, describe_memory
from data_cache.base.progress import track
from data_cache.base.tensors import non_finite_names
from data_cache.images.batches import loaded_batches
from reid.data.loader import TrainingLoader
from reid.data.vehicle_images import Batch
from reid.distributed import from_first, gathered, own_rank, rank_count, shared_error
from reid.recipes import ReidRecipe
from reid.runs import BEST
from reid.training.log import keep_until, log_epoch
from reid.training.state import State, save, save_last
from reid.training.validation import Holdout

log = logging.getLogger(__name__)

REMEDY = "train with a lower learning_rate and another --name"
LOWEST_RATE = 0.01  # share of the learning rate at which the warm-up starts and the cosine ends
HALVING_EPOCHS = 20


def learning_rate(recipe: ReidRecipe, epoch: int) -> float:
    """Return the learning rate of an epoch, counted from 0: linear warm-up, then halving or a cosine.

    Halving is the paper's: x 0.5 every 20 epochs, counted from the end of the warm-up as in the authors' configuration.
    """
    if epoch < recipe.warmup_epochs:
        return recipe.learning_rate * (LOWEST_RATE + (1 - LOWEST_RATE) * epoch / recipe.warmup_epochs)
    after = epoch - recipe.warmup_epochs
    if recipe.schedule == "cosine":
        share = after / max(1, recipe.epochs - recipe.warmup_epochs)
        return recipe.learning_rate * (LOWEST_RATE + (1 - LOWEST_RATE) * (1 + math.cos(math.pi * share)) / 2)
    return recipe.learning_rate * math.pow(0.5, after // HALVING_EPOCHS)


def run_epochs(
    state: State,
    recipe: ReidRecipe,
    loader: TrainingLoader,
    holdout: Holdout | None,
    folder: Path,
    identity: Mapping[str, Any],
    *,
    tensorboard: bool,
) -> None:
    """Train up to the recipe's last epoch; the first process writes log and checkpoints to `folder`.

    Raises UserError for a loss or a weight that is not finite.
    """
    if not own_rank():
        keep_until(folder, state.epoch)
    started, before = time.monotonic(), state.epoch
    while state.epoch < recipe.epochs:
        rate = learning_rate(recipe, state.epoch)
        line = _train_epoch(state, loader, rate, f"epoch {state.epoch + 1}/{recipe.epochs}")
        state.epoch += 1
        if holdout is not None and (state.epoch == recipe.epochs or state.epoch % recipe.validate_every == 0):
            line |= _validate(state, holdout)
        # without held-out vehicles the last epoch is the best; the test set is never used
        score = line.get("validation_mAP", -1.0) if holdout is not None else float(state.epoch)
        better = score > state.best
        state.best = max(score, state.best)
        if own_rank():
            continue
        if better:
            save(state, folder / BEST, identity)
        log_epoch(folder, {"epoch": state.epoch, **line, "learning_rate": rate}, tensorboard=tensorboard)
        save_last(state, folder, identity)
        left = (time.monotonic() - started) / (state.epoch - before) * (recipe.epochs - state.epoch)
        cost = f"{describe_memory(loader.device)}, {left:.0f} s left"
        log.info(f"epoch {state.epoch}/{recipe.epochs}: {_as_text(line)}, {cost}")


def training_step(state: State, batch: Batch, vehicle: Tensor, device: str) -> Mapping[str, Tensor]:
    """Train on one batch and return the loss terms; `vehicle` (B,) has the classes of all processes' images."""
    with autocast(device):
        terms: dict[str, Tensor] = state.objective(*batch.inputs(device), vehicle)
    state.optimizer.zero_grad(set_to_none=True)
    terms["loss"].backward()  # type: ignore[no-untyped-call]
    state.optimizer.step()
    if state.average is not None:
        state.average.update(state.network)
    return terms


def _train_epoch(state: State, loader: TrainingLoader, rate: float, title: str) -> dict[str, float]:
    """Train one epoch; return the means of the loss terms, and the images per second."""
    state.network.train()
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    loader.sampler.start_epoch(state.epoch)
    totals: dict[str, Tensor] = {}
    batches = 0

    def means() -> dict[str, float]:  # reads from the device, so the progress display calls it only when needed
        return {name: float(total) / max(1, batches) for name, total in totals.items()}

    images = len(loader.sampler) * loader.sampler.batch_size
    started = time.monotonic()
    unchecked: list[tuple[Tensor, Tensor]] = []  # losses are checked one step late, so that a GPU need not wait
    progress = track(
        loaded_batches(loader.batches),
        title,
        images,
        size=lambda batch: len(batch.index) * rank_count(),
        note=lambda: _as_text(means()),
    )
    for batch in progress:
        index = gathered(batch.index)
        terms = training_step(state, batch, loader.labels[index.to(loader.device, non_blocking=True)], loader.device)
        totals = {name: totals.get(name, 0) + value.detach() for name, value in terms.items()}
        batches += 1
        unchecked.append((terms["loss"].detach(), index))
        if batches > 1:
            _require_finite(*unchecked.pop(0), loader, state.epoch)
    for loss, index in unchecked:
        _require_finite(loss, index, loader, state.epoch)
    _require_finite_weights(state)
    return means() | {"images_per_second": images / (time.monotonic() - started)}


def _validate(state: State, holdout: Holdout) -> dict[str, float]:
    """Return the scores on the held-out vehicles, computed by the first process."""
    scores = {"validation_mAP": 0.0, "validation_cmc1": 0.0} if own_rank() else holdout(state.result)
    return {name: from_first(value) for name, value in scores.items()}


def _require_finite(loss: Tensor, index: Tensor, loader: TrainingLoader, epoch: int) -> None:
    """Raise UserError, naming the batch, if its loss is not finite."""
    if not torch.isfinite(loss):
        names = ", ".join(loader.names[image] for image in index.tolist())
        raise shared_error(
            f"the loss is {loss.item()} in epoch {epoch + 1}; the last good checkpoint is kept; "
            f"{REMEDY}, or check the images of the batch: {names}"
        )


def _require_finite_weights(state: State) -> None:
    """Raise UserError if a gradient overflowed in the last step of the epoch."""
    if broken := non_finite_names(state.result.state_dict()):
        raise shared_error(
            f"{broken[0]} is not finite after epoch {state.epoch + 1}; the last good checkpoint is kept; {REMEDY}"
        )


def _as_text(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in values.items())
