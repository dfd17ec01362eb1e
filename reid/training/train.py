"""Training of stage two: resumable to the bit, with the best epoch chosen on held-out vehicles."""

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from data_cache.base.devices import describe_device, has_bfloat16
from data_cache.base.errors import UserError, worker_death_as_user_error
from data_cache.base.files import remove_temporary_files, write_json
from data_cache.base.locks import run_lock
from data_cache.base.options import command_file, remedy_command
from data_cache.base.progress import messages_into
from data_cache.datasets.dataset import Dataset
from data_cache.datasets.problems import list_problems
from data_cache.parts.cache import PartBoxes
from data_cache.parts.source_files import run_fingerprint
from reid.data.decoded import decoded_training_views
from reid.data.loader import TrainingSplit, split_vehicles, training_loader
from reid.distributed import first_rank_first, own_rank, rank_count
from reid.recipes import ReidRecipe
from reid.runs import BEST, LAST
from reid.training.log import CURVES, LOG, is_cleaned, require_tensorboard
from reid.training.loop import run_epochs
from reid.training.state import checkpoint_to_resume, restore, start_state
from reid.training.validation import Holdout

log = logging.getLogger(__name__)

RECIPE = "recipe.json"
MESSAGES = "train.log"  # with times


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
    command: Mapping[str, Any] | None = None,
) -> Path:
    """Train on the train split and return the best checkpoint; an interrupted run resumes, a finished one is kept.

    Under `torchrun`, inside `joined_ranks`, the processes share every batch and the first one writes. `compiled` uses
    torch.compile, `tensorboard` also writes TensorBoard's files, `decoded` is the path of the decoded images.
    `command` (see `running_command`) is kept in the folder, to say how to make it again.

    Raises UserError for problems of the data set, a run of another recipe in `folder`, or a loss that is not finite.
    """
    with worker_death_as_user_error(), ExitStack() as stack:
        with first_rank_first():
            if tensorboard:
                require_tensorboard()
            _require_sound(dataset)
            split = split_vehicles(dataset, recipe)
            identity = _identity(recipe, dataset, parts, split)
            if not own_rank():
                stack.enter_context(run_lock(folder))
                stack.enter_context(messages_into(folder / MESSAGES))
                files = (folder / name for name in (LAST, BEST, RECIPE, LOG, CURVES))
                remove_temporary_files(*files, command_file(folder))
            checkpoint = checkpoint_to_resume(folder, identity)
            is_finished = (
                is_cleaned(folder, recipe.epochs)
                if checkpoint is None
                else checkpoint.metadata["epoch"] == recipe.epochs
            )
            if is_finished:
                if not (folder / BEST).exists():
                    raise UserError(
                        f"{folder / BEST}: missing, though all epochs are done; delete {folder} to train anew"
                    )
                log.info(f"{folder}: already trained, {recipe.epochs} epochs")
                return folder / BEST
            views = None
            if decoded is not None:
                views = decoded_training_views(
                    decoded,
                    dataset,
                    recipe.input_size,
                    workers=workers,
                    turned=parts.turned,
                    parts=parts,
                    top_d=recipe.parts,
                    crop=recipe.part_crops,
                )
            loader = training_loader(recipe, dataset, parts, split, device=device, workers=workers, decoded=views)
            holdout = (
                Holdout(dataset, split.held_out, parts, recipe, device, workers, views) if recipe.holdout else None
            )
        resumed = checkpoint is not None
        state = start_state(recipe, len(split.vehicle_ids), device, compiled=compiled, resumed=resumed)
        if not own_rank():
            write_json(folder / RECIPE, identity["recipe"])
            if command is not None:
                write_json(command_file(folder), command)
        if checkpoint is not None:
            restore(state, checkpoint)
            log.info(f"resuming after epoch {state.epoch} of {recipe.epochs}")
        log.info(f"training on {_described(split, device)}")
        run_epochs(state, recipe, loader, holdout, folder, identity, tensorboard=tensorboard)
    return folder / BEST


def _require_sound(dataset: Dataset) -> None:
    errors = list_problems(dataset).errors
    if errors:
        raise UserError(f"{dataset.root}: {'; '.join(errors)}; {remedy_command('check', dataset.option)} shows them")


def _identity(recipe: ReidRecipe, dataset: Dataset, parts: PartBoxes, split: TrainingSplit) -> dict[str, Any]:
    """Return what determines the weights besides the epoch: recipe, images, and the origin of the parts."""
    return {
        "kind": "re-identification",
        "recipe": recipe.model_dump(mode="json"),
        "dataset": dataset.name,
        "images": split.sha256,
        "parts": run_fingerprint(parts),
        "vehicles": len(split.vehicle_ids),
    }


def _described(split: TrainingSplit, device: str) -> str:
    counts = f"{len(split.train)} images of {len(split.vehicle_ids)} vehicles"
    numbers = "" if has_bfloat16(device) else ", in float32"
    ranks = f", {rank_count()} processes" if rank_count() > 1 else ""
    return f"{counts}, {describe_device(device)}{numbers}{ranks}"
