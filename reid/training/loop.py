"""The loop of training: every epoch's batches, its line in the log, and its checkpoint."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data_cache.base.devices import autocast
from data_cache.base.progress import track
from data_cache.base.tensors import not_finite
from reid.data.loader import LabelledLoader
from reid.data.vehicle_images import Batch, read_batches
from reid.distributed import error_of_all, from_first, gathered, own_rank, rank_count
from reid.features.extraction import forward
from reid.recipes import ReidRecipe
from reid.runs import BEST
from reid.training.log import keep_until, log_epoch
from reid.training.state import State, save, save_last
from reid.training.validation import Holdout

log = logging.getLogger(__name__)

Terms = Mapping[str, Tensor]
REMEDY = "train with a lower learning_rate in another --runs folder, with --parts for the boxes"
WARMUP_START = 0.01
HALVING_EPOCHS = 20


def learning_rate(recipe: ReidRecipe, epoch: int) -> float:
    """Return the rate of an epoch, counted from 0: a linear warm-up from 0.01 of it, then halving or a cosine.

    Halving is the paper's: x 0.5 every 20 epochs after the warm-up (the authors' configuration: at 30, 50, ...).
    """
    if epoch < recipe.warmup_epochs:
        return recipe.learning_rate * (WARMUP_START + (1 - WARMUP_START) * epoch / recipe.warmup_epochs)
    after = epoch - recipe.warmup_epochs
    if recipe.schedule == "cosine":
        share = after / max(1, recipe.epochs - recipe.warmup_epochs)
        return recipe.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2)
    return recipe.learning_rate * math.pow(0.5, after // HALVING_EPOCHS)


def run_epochs(
    state: State,
    recipe: ReidRecipe,
    loader: LabelledLoader,
    holdout: Holdout | None,
    folder: Path,
    identity: Mapping[str, Any],
    *,
    tensorboard: bool,
) -> None:
    """Train until the recipe's last epoch. Raises UserError for a loss that is not finite."""
    if not own_rank():
        keep_until(folder, state.epoch)
    while state.epoch < recipe.epochs:
        rate = learning_rate(recipe, state.epoch)
        line = _train_epoch(state, loader, rate, f"epoch {state.epoch + 1}/{recipe.epochs}")
        state.epoch += 1
        if holdout is not None and (state.epoch == recipe.epochs or state.epoch % recipe.validate_every == 0):
            line |= _validation(state, holdout)
        # Without held-out vehicles the newest epoch counts as the best; the test set never decides.
        score = line.get("validation_mAP", -1.0) if holdout is not None else float(state.epoch)
        better = score > state.best
        state.best = max(score, state.best)
        if own_rank():
            continue
        if better:
            save(state, folder / BEST, identity)
        log_epoch(folder, {"epoch": state.epoch, **line, "learning_rate": rate}, tensorboard=tensorboard)
        save_last(state, folder, identity)
        log.info(
            f"epoch {state.epoch}/{recipe.epochs}: " + ", ".join(f"{name} {value:.3g}" for name, value in line.items())
        )


def _validation(state: State, holdout: Holdout) -> dict[str, float]:
    """Let the first process score the held-out vehicles; all learn the result."""
    scores = {"validation_mAP": 0.0, "validation_cmc1": 0.0} if own_rank() else holdout(state.network)
    return {name: from_first(value) for name, value in scores.items()}


def _train_epoch(state: State, loader: LabelledLoader, rate: float, title: str) -> dict[str, float]:
    state.network.train()
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    loader.sampler.start_epoch(state.epoch)
    totals: dict[str, Tensor] = {}
    started, batches = time.monotonic(), 0

    def means() -> dict[str, float]:
        return {name: float(total) / max(1, batches) for name, total in totals.items()}

    images = len(loader.sampler) * loader.sampler.batch_size
    unjudged: list[tuple[Tensor, Tensor]] = []  # a loss is looked at one step late: a GPU then has work meanwhile
    for batch in track(read_batches(loader.batches), title, images, _images_of_all, _told(means)):
        index = gathered(batch.index)
        terms = training_step(state, batch, loader.label[index.to(loader.device, non_blocking=True)], loader.device)
        totals = {name: totals.get(name, 0) + value.detach() for name, value in terms.items()}
        batches += 1
        unjudged.append((terms["loss"].detach(), index))
        if batches > 1:
            _require_finite(*unjudged.pop(0), loader.paths, state.epoch)
    for loss, index in unjudged:
        _require_finite(loss, index, loader.paths, state.epoch)
    _require_finite_weights(state)
    return means() | {"images_per_second": images / (time.monotonic() - started)}


def _images_of_all(batch: Batch) -> int:
    return len(batch.index) * rank_count()


def _told(means: Callable[[], dict[str, float]]) -> Callable[[], str]:
    """Return what the progress shows besides: the loss and its terms so far, read from the device only when shown."""
    return lambda: ", ".join(f"{name} {value:.3g}" for name, value in means().items())


def training_step(state: State, batch: Batch, vehicle: Tensor, device: str) -> Terms:
    """Change the network by one batch; `vehicle` (B,) holds the class numbers of the whole batch, on the device."""
    with autocast(device):
        terms: Terms = forward(state.objective, batch, device, vehicle)
    state.optimizer.zero_grad(set_to_none=True)
    terms["loss"].backward()  # type: ignore[no-untyped-call]
    state.optimizer.step()
    return terms


def _require_finite_weights(state: State) -> None:
    """Raise UserError, before anything is kept, where a gradient overflowed in the epoch's last step."""
    if broken := not_finite(state.network.state_dict()):
        raise error_of_all(
            f"{broken[0]} is not finite after epoch {state.epoch + 1}; the last good checkpoint is kept; {REMEDY}"
        )


def _require_finite(loss: Tensor, index: Tensor, paths: Sequence[Path], epoch: int) -> None:
    if not torch.isfinite(loss):
        batch = ", ".join(str(paths[place]) for place in index.tolist())
        raise error_of_all(
            f"the loss is {loss.item()} in epoch {epoch + 1}; the last good checkpoint is kept; "
            f"{REMEDY}, or look at the batch: {batch}"
        )
