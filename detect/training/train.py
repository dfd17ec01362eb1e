"""Train a part detector: annotated images and a recipe in, a folder with weights, recipe, log and metrics out."""

import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_cache.base.config import recipe_label, resolve_recipe
from data_cache.base.errors import UserError, initialize_worker, last_line, printable, worker_death_as_user_error
from data_cache.base.files import is_there, matching, read_json, remove, remove_strays, sha256_of_file, write_json
from data_cache.base.locks import run_lock
from data_cache.parts.cache import first_difference, require_fingerprint
from detect.annotations.reading import AnnotatedImage, read_annotations, split_held_out
from detect.model.weights import read_recipe
from detect.recipes import PRESETS, DetectorRecipe, default_recipe

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.data import DataLoader

    from detect.evaluation.metrics import DetectorMetrics

log = logging.getLogger(__name__)

WEIGHTS, RECIPE, METRICS, LOG, STATE = "weights.safetensors", "recipe.json", "metrics.json", "log.jsonl", "state.pt"
CURVES, SCRATCH = "curves.png", ".scratch"


def train_detector(
    recipe: DetectorRecipe, annotations: Path, image_root: Path, folder: Path, *, device: str, workers: int
) -> Path:
    """Train by `recipe` on COCO `annotations` of images below `image_root`; return the weights file in `folder`.

    A finished folder is left as it is, a stopped training goes on after its last epoch. Raises UserError where the
    folder holds a training by another recipe or other annotations, or where the annotations are wrong; on SIGTERM, and
    where a process that reads images has been killed.
    """
    made_from = {"recipe": recipe.model_dump(mode="json"), "annotations": sha256_of_file(annotations)}
    weights = folder / WEIGHTS
    _require_same(folder / RECIPE, made_from)
    if (folder / METRICS).exists() and weights.exists():  # the metrics are written last
        log.info(f"{weights}: already trained; delete {folder} to train anew")
        _clear_up_leftovers(folder)
        return weights
    images = read_annotations(annotations, image_root)
    training, held_out = split_held_out(images, recipe.held_out)
    network = _initial_network(recipe, device, resumed=(folder / STATE).exists())
    with worker_death_as_user_error(), run_lock(folder):
        remove_strays(*(folder / name for name in (WEIGHTS, RECIPE, METRICS, STATE, CURVES)))
        write_json(folder / RECIPE, made_from)
        others = "of other vehicles" if recipe.held_out else "the same"
        log.info(f"training on {len(training)} images, measuring on {len(held_out)} ({others})")
        best = train_network(network, recipe, training, held_out, image_root, folder, device=device, workers=workers)
        _finish(best, folder, held_out=recipe.held_out > 0)
    return weights


def trained_weights(runs: Path, recipe: str | None, device: str) -> Path:
    """Return the weights that `parts train` made by `recipe`; without one, the device's default or the only one there.

    Where the recipe is a file that has changed since, that is said. Raises UserError with the remedy.
    """
    trained = {path.parent.name: path.parent / WEIGHTS for path in matching(runs / "detector", f"*/{METRICS}")}
    name = recipe_label(recipe or default_recipe(device))
    if name in trained:
        if recipe is not None and recipe != name:
            _tell_change(recipe, trained[name])
        return trained[name]
    if recipe is None and len(trained) == 1:
        (only,) = trained
        log.info(f"detector {only}: the only one trained here ({name} is the default on this device)")
        return trained[only]
    hint = f" (trained here: {', '.join(trained)})" if trained else ""
    raise UserError(
        f"{runs / 'detector' / name / WEIGHTS}: no trained detector{hint}; train one with "
        f"`python cli.py parts train --dataset synthetic --recipe {name}`, or choose another with --recipe or --weights"
    )


def _tell_change(recipe: str, weights: Path) -> None:
    """Say where a recipe file differs from the recipe in the weights, whose settings are the ones that are used."""
    made_by, wanted = read_recipe(weights), resolve_recipe(DetectorRecipe, PRESETS, recipe)
    difference = first_difference(made_by.model_dump(mode="json"), wanted.model_dump(mode="json"))
    if difference is not None:
        name, there, here = difference
        log.info(f"{weights}: trained with {name} = {printable(there)}, which is used; {recipe} has {printable(here)}")


def train_network(
    network: "nn.Module",
    recipe: DetectorRecipe,
    images: tuple[AnnotatedImage, ...],
    held_out: tuple[AnnotatedImage, ...],
    image_root: Path,
    folder: Path,
    *,
    device: str,
    workers: int,
) -> dict[str, Any]:
    """Train `network` on `images`; return the epoch that was best on `held_out`, whose weights lie in `folder`.

    The state after every epoch lies there too, from where a stopped training goes on.
    """
    from detect.model.weights import write_weights
    from detect.training.optim import make_optimizer, make_schedules
    from detect.training.runner import ProgressHook, QuietRunner, StateHook
    from detect.training.validation import BestEpochHook

    loader = _loader(recipe, images, image_root, workers)
    optimizer = make_optimizer(recipe, network, device)
    best = BestEpochHook(
        measure=_measurement(recipe, held_out, image_root, device, workers),
        keep=lambda network: write_weights(folder / WEIGHTS, network, recipe),
        log=folder / LOG,
        curves=folder / CURVES,
        every=recipe.validate_every,
    )
    with _scratch(folder) as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MMEngine's notices about what it was not given
        runner = QuietRunner(
            state_file=folder / STATE,
            model=network,
            work_dir=str(scratch),
            train_dataloader=loader,
            train_cfg={"by_epoch": True, "max_epochs": recipe.epochs},
            optim_wrapper=optimizer,
            param_scheduler=make_schedules(recipe, optimizer, recipe.epochs * len(loader)),
            default_hooks={"runtime_info": None, "timer": None, "logger": None, "checkpoint": None},
            custom_hooks=[ProgressHook(folder / LOG, recipe.batch_size), best, StateHook()],
            log_level="ERROR",
            default_scope="mmdet",
            randomness={"seed": recipe.seed},
        )
        try:
            runner.train()
        except UserError as error:
            raise last_line(error) from error
    return runner.best


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Yield a folder for MMEngine's own log; beside the weights, so that the next run removes a killed one's."""
    shutil.rmtree(folder / SCRATCH, ignore_errors=True)
    try:
        yield folder / SCRATCH
    finally:
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)


def _initial_network(recipe: DetectorRecipe, device: str, *, resumed: bool) -> "nn.Module":
    """Return the network as training begins; a resumed one takes its weights from its state."""
    import torch

    from detect.model.ssd import build_network, load_trunk

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = build_network(recipe)
    if not resumed and recipe.trunk_weights is not None:
        missing = load_trunk(recipe.trunk_weights, network.get_submodule("backbone"), recipe.architecture)
        log.info(f"trunk weights from {recipe.trunk_weights}; random in the trunk: {', '.join(missing) or 'nothing'}")
    elif not resumed:
        log.info("trunk from random weights (--trunk-weights imagenet or FILE starts from trained ones)")
    return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _loader(
    recipe: DetectorRecipe, images: tuple[AnnotatedImage, ...], image_root: Path, workers: int
) -> "DataLoader[dict[str, Any]]":
    from torch.utils.data import DataLoader

    from detect.training.samples import EpochSampler, PartSamples, as_lists

    return DataLoader(
        PartSamples(images, image_root, recipe),
        batch_size=min(recipe.batch_size, len(images)),
        sampler=EpochSampler(len(images), recipe.seed),
        drop_last=True,  # a second shape of batch costs seconds on a CPU
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=as_lists,
        worker_init_fn=initialize_worker,
    )


def _measurement(
    recipe: DetectorRecipe, held_out: tuple[AnnotatedImage, ...], image_root: Path, device: str, workers: int
) -> "Callable[[nn.Module], DetectorMetrics]":
    from detect.evaluation.evaluate import evaluate_detector
    from detect.model.detector import Detector

    return lambda network: evaluate_detector(Detector(network, recipe, device), held_out, image_root, workers=workers)


def _finish(best: Mapping[str, Any], folder: Path, *, held_out: bool) -> None:
    """Write the best epoch's metrics, then drop the state that only an unfinished training needs."""
    metrics = best["metrics"]
    write_json(folder / METRICS, {"held_out": held_out, "epoch": best["epoch"]} | metrics)
    remove(folder / STATE)
    reached = f"recall@{metrics['recall_depth']} {metrics['recall']:.3f} of {metrics['recall_limit']:.3f}"
    log.info(
        f"{folder / WEIGHTS}: epoch {best['epoch']}, AP50 {metrics['ap50']:.3f}, {reached} that so few boxes can reach"
    )


def _clear_up_leftovers(folder: Path) -> None:
    """Remove what a run left that was killed when its metrics were written; what a run at work needs stays."""
    if any(is_there(folder / name) for name in (STATE, SCRATCH, ".lock")):
        with suppress(UserError), run_lock(folder):
            remove(folder / STATE)
            shutil.rmtree(folder / SCRATCH, ignore_errors=True)


def _require_same(path: Path, wanted: Mapping[str, Any]) -> None:
    """Raise UserError, naming the first difference, where the folder holds another training."""
    if is_there(path):
        remedy = f"delete {path.parent} to train anew, or choose another --runs folder"
        require_fingerprint(read_json(path), wanted, path, remedy)
