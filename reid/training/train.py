"""Training, stage two: plain torch, resumable to the bit, the best epoch chosen on held-out vehicles."""

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from data_cache.base.devices import describe_device, has_bfloat16
from data_cache.base.errors import UserError, worker_death_as_user_error
from data_cache.base.files import remove_strays, sha256_of_names, write_json
from data_cache.base.locks import run_lock
from data_cache.datasets.dataset import Dataset
from data_cache.datasets.findings import faults
from data_cache.parts.cache import PartBoxes
from data_cache.parts.source_files import made_by
from reid.data.decoding import decoded_training_images
from reid.data.holdout import Vehicles, split_vehicles
from reid.data.loader import training_loader
from reid.distributed import first_rank_first, own_rank, rank_count
from reid.recipes import ReidRecipe
from reid.runs import BEST, LAST
from reid.training.log import CURVES, LOG, require_tensorboard
from reid.training.loop import run_epochs
from reid.training.state import checkpoint_to_resume, restore, start_state
from reid.training.validation import Holdout

log = logging.getLogger(__name__)

RECIPE = "recipe.json"


def train(
    recipe: ReidRecipe,
    dataset: Dataset,
    parts: PartBoxes,
    folder: Path,
    *,
    device: str,
    workers: int,
    compiled: bool = False,
    tensorboard: bool = False,
    decoded: Path | None = None,
) -> Path:
    """Train on the train split and return the best checkpoint; a finished run is kept, a killed one goes on.

    Under `torchrun`, inside `joined_ranks`, the processes share every batch; the first one writes. `compiled` runs
    the network by torch.compile, `tensorboard` writes its files besides the log, `decoded` is where images lie decoded.

    Raises UserError for faults of the data set, a run of another recipe in `folder`, or a loss that is not finite.
    """
    with worker_death_as_user_error(), ExitStack() as held:
        with first_rank_first():
            if tensorboard:
                require_tensorboard()
            vehicles = _vehicles(recipe, dataset)
            identity = _identity(recipe, dataset, parts, vehicles)
            if not own_rank():
                held.enter_context(run_lock(folder))
                remove_strays(*(folder / name for name in (LAST, BEST, RECIPE, LOG, CURVES)))
            checkpoint = checkpoint_to_resume(folder, identity)
            if checkpoint is not None and checkpoint.metadata["epoch"] == recipe.epochs:
                if not (folder / BEST).exists():
                    raise UserError(f"{folder / BEST}: gone, though all epochs are done; delete {folder} to train anew")
                log.info(f"{folder}: already trained, {recipe.epochs} epochs")
                return folder / BEST
            kept = None
            if decoded is not None:
                kept = decoded_training_images(decoded, dataset, recipe.image_size, workers=workers)
            loader = training_loader(recipe, dataset, parts, vehicles, device=device, workers=workers, decoded=kept)
            holdout = (
                Holdout(dataset, vehicles.held_out, parts, recipe, device, workers, kept) if recipe.holdout else None
            )
        resumed = checkpoint is not None
        state = start_state(recipe, len(vehicles.trained), device, compiled=compiled, resumed=resumed)
        if not own_rank():
            write_json(folder / RECIPE, identity["recipe"])
        if checkpoint is not None:
            restore(state, checkpoint)
            log.info(f"resuming after epoch {state.epoch} of {recipe.epochs}")
        ranks = f", {rank_count()} processes" if rank_count() > 1 else ""
        counts = f"{len(vehicles.images)} images of {len(vehicles.trained)} vehicles"
        numbers = "" if has_bfloat16(device) else ", in float32"
        log.info(f"training on {counts}, {describe_device(device)}{numbers}{ranks}")
        run_epochs(state, recipe, loader, holdout, folder, identity, tensorboard=tensorboard)
    return folder / BEST


def _vehicles(recipe: ReidRecipe, dataset: Dataset) -> Vehicles:
    found = faults(dataset)
    if found:
        raise UserError(f"{dataset.root}: {'; '.join(found)}; `python cli.py check` shows them")
    return split_vehicles(dataset, recipe)


def _identity(recipe: ReidRecipe, dataset: Dataset, parts: PartBoxes, vehicles: Vehicles) -> dict[str, Any]:
    return {
        "kind": "re-identification",
        "recipe": recipe.model_dump(mode="json"),
        "dataset": dataset.name,
        "images": sha256_of_names(vehicles.images[["name", "vehicle_id"]].to_numpy().tolist()),
        "parts": made_by(parts),
        "vehicles": len(vehicles.trained),
    }
