"""Train a part detector: annotated images and a recipe in, a run folder with weights, recipe, log and metrics out."""

import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from data_cache.base.errors import UserError, initialize_worker, last_line, worker_death_as_user_error
from data_cache.base.files import remove, sha256_of_file, write_json
from data_cache.base.locks import run_lock
from data_cache.base.options import command_file
from data_cache.base.progress import messages_into
from data_cache.images.batches import collate_within_shared_memory
from detect.annotations.images import ALL_LABELS, AnnotatedImage
from detect.annotations.reading import read_annotations, split_held_out
from detect.evaluation.evaluate import evaluate_detector
from detect.evaluation.metrics import DetectorMetrics
from detect.model.detector import Detector
from detect.model.ssd import build_network, load_backbone
from detect.model.weights import load_weights
from detect.recipes import DetectorRecipe
from detect.training.runs import (
    METRICS,
    RECIPE,
    STATE,
    WEIGHTS,
    is_finished,
    remove_leftovers,
    remove_partial_files,
    require_same_training,
    scratch_folder,
)
from detect.training.samples import EpochSampler, PartSamples, collate_lists

log = logging.getLogger(__name__)


def train_detector(
    recipe: DetectorRecipe,
    annotations: Path,
    image_root: Path,
    folder: Path,
    *,
    device: str,
    workers: int,
    start: Path | None = None,
    command: Mapping[str, Any] | None = None,
) -> Path:
    """Train on COCO `annotations` of images below `image_root`; return the weights file in `folder`.

    `start` is the weights file of a detector to go on from; None starts from the backbone weights of the recipe.
    `command` (see `running_command`) is kept in the folder, to say how to make it again. A finished training is left
    unchanged, an interrupted one resumes after its last epoch. Raises UserError if the folder has a training from
    another recipe, other annotations or another start, if the start does not fit the network, if the annotations have
    faults, or if a worker process was killed.
    """
    made_from = {"recipe": recipe.model_dump(mode="json"), "annotations": sha256_of_file(annotations)}
    if start is not None:  # no entry otherwise, so that trainings of older versions stay valid
        made_from["start"] = sha256_of_file(start)
    weights = folder / WEIGHTS
    require_same_training(folder, made_from)
    if is_finished(folder):
        log.info(f"{weights}: already trained; delete {folder} to train anew")
        remove_leftovers(folder)
        return weights

    images = read_annotations(annotations, image_root)
    if start is None:
        images = with_unknown_parts_as_background(images)
    training, held_out = split_held_out(images, recipe.held_out)
    network = _initial_network(recipe, device, start, resumed=(folder / STATE).exists())

    def measure(network: nn.Module) -> DetectorMetrics:
        return evaluate_detector(Detector(network, recipe, device), held_out, image_root, workers=workers)

    with worker_death_as_user_error(), run_lock(folder), messages_into(folder / "train.log"):
        remove_partial_files(folder)
        write_json(folder / RECIPE, made_from)
        if command is not None:
            write_json(command_file(folder), command)
        vehicles = "other vehicles" if recipe.held_out else "the same images"
        log.info(f"training on {len(training)} images, measuring on {len(held_out)} ({vehicles})")
        loader = _training_loader(recipe, training, image_root, workers)
        best = _run_epochs(network, recipe, loader, measure, folder, device)
        _write_metrics(best, folder, held_out=recipe.held_out > 0)
    return weights


def _initial_network(recipe: DetectorRecipe, device: str, start: Path | None, *, resumed: bool) -> nn.Module:
    """Return the network before the first epoch; if `resumed`, its weights come from the checkpoint later."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = build_network(recipe)
    if not resumed and start is not None:
        load_weights(start, network, "choose another with --start, or --start none")
        log.info(f"starting from the weights of {start}")
    elif not resumed and recipe.trunk_weights is not None:
        missing = load_backbone(recipe.trunk_weights, network.get_submodule("backbone"), recipe.architecture)
        log.info(f"backbone weights from {recipe.trunk_weights}; random: {', '.join(missing) or 'none'}")
    elif not resumed:
        log.info("backbone weights are random (--trunk-weights imagenet or FILE starts from trained ones)")
    return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def with_unknown_parts_as_background(images: tuple[AnnotatedImage, ...]) -> tuple[AnnotatedImage, ...]:
    """Return the images, with every part that none of them annotates counted as annotated: it is background.

    A network that starts without knowing these parts cannot learn from any image where they are not.
    """
    unknown = ALL_LABELS - frozenset().union(*(image.annotated for image in images))
    return tuple(replace(image, annotated=image.annotated | unknown) for image in images)


def _training_loader(
    recipe: DetectorRecipe, images: tuple[AnnotatedImage, ...], image_root: Path, workers: int
) -> DataLoader[dict[str, Any]]:
    batch_size = min(recipe.batch_size, len(images))
    batch_bytes = batch_size * 3 * recipe.input_size**2
    return DataLoader(
        PartSamples(images, image_root, recipe),
        batch_size=batch_size,
        sampler=EpochSampler(len(images), recipe.seed),
        drop_last=True,  # a second batch shape costs seconds on a CPU
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=collate_within_shared_memory(collate_lists, batch_bytes, workers=workers),
        worker_init_fn=initialize_worker,
    )


def _run_epochs(
    network: nn.Module,
    recipe: DetectorRecipe,
    loader: DataLoader[dict[str, Any]],
    measure: Callable[[nn.Module], DetectorMetrics],
    folder: Path,
    device: str,
) -> Mapping[str, Any]:
    """Train `network`, keeping the weights of the best epoch in `folder`; return that epoch and its metrics.

    The checkpoint in `folder`, written after every epoch, is where an interrupted training resumes.
    """
    # imported late, because they import MMEngine: a missing package is reported by `build_network`
    from detect.training.hooks import BestEpochHook, ProgressHook
    from detect.training.optim import make_optimizer, make_schedules
    from detect.training.runner import QuietRunner, StateHook

    optimizer = make_optimizer(recipe, network, device)
    with scratch_folder(folder) as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MMEngine's, about options that are not given
        runner = QuietRunner(
            state_file=folder / STATE,
            model=network,
            work_dir=str(scratch),
            train_dataloader=loader,
            train_cfg={"by_epoch": True, "max_epochs": recipe.epochs},
            optim_wrapper=optimizer,
            param_scheduler=make_schedules(recipe, optimizer, recipe.epochs * len(loader)),
            default_hooks={"runtime_info": None, "timer": None, "logger": None, "checkpoint": None},
            custom_hooks=[
                ProgressHook(folder, recipe.batch_size),
                BestEpochHook(measure, recipe, folder),
                StateHook(),
            ],
            log_level="ERROR",
            default_scope="mmdet",
            randomness={"seed": recipe.seed},
        )
        try:
            runner.train()
        except UserError as error:
            raise last_line(error) from error
    return runner.best


def _write_metrics(best: Mapping[str, Any], folder: Path, *, held_out: bool) -> None:
    """Write the metrics of the best epoch, which completes the training, then remove the checkpoint."""
    metrics = best["metrics"]
    write_json(folder / METRICS, {"held_out": held_out, "epoch": best["epoch"]} | metrics)
    remove(folder / STATE)
    log.info(
        f"{folder / WEIGHTS}: epoch {best['epoch']}, AP50 {metrics['ap50']:.3f}, "
        f"recall@{metrics['recall_depth']} {metrics['recall']:.3f} (at most {metrics['recall_limit']:.3f} is possible)"
    )
