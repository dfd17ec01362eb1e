"""The command group `parts`, and `parts train`."""

import logging
from pathlib import Path

import click

from data_cache.base.options import (
    data_root_option,
    dataset_option,
    device_option,
    recipe_option,
    recipe_seed_option,
    running_command,
    runs_option,
    set_option,
    show_recipe_option,
    workers_option,
)
from detect.commands.convert import check_annotations, convert
from detect.commands.options import RECIPES, annotated_options, choose_annotations
from detect.commands.quality import parts_eval, parts_preview

log = logging.getLogger(__name__)


@click.group("parts")
def parts() -> None:
    """Train, measure and preview the part detector; check and convert annotations."""


@parts.command("train")
@dataset_option
@data_root_option
@runs_option
@recipe_option(None, f"Recipe: {RECIPES}; or a YAML file.")
@set_option
@show_recipe_option
@annotated_options("parts_train.json")
@click.option(
    "--trunk-weights",
    default=None,
    help="Of the backbone: imagenet, another torchvision weights name, a file, or none; default: the recipe's.",
)
@click.option(
    "--start",
    default=None,
    metavar="shipped|none|FILE",
    help="Detector whose weights training starts from: shipped, none (backbone weights only) or a weights file; "
    "default: shipped if the recipe's network has the same tensors and no backbone weights are given, otherwise none.",
)
@recipe_seed_option
@device_option
@workers_option
def parts_train(
    dataset: str,
    data_root: Path,
    runs: Path,
    recipe: str | None,
    overrides: tuple[str, ...],
    show_recipe: bool,
    annotations: Path | None,
    images: Path | None,
    trunk_weights: str | None,
    start: str | None,
    seed: int | None,
    device: str,
    workers: int,
) -> None:
    """Train a part detector on annotated images; an interrupted training resumes.

    The weights of the epoch with the highest AP on held-out vehicles are kept; curves.png shows losses and AP.

    \b
    Examples:
      python cli.py parts train --dataset synthetic --recipe demo
      python cli.py parts train --annotations parts.json --images photos --set epochs=30
      python cli.py parts train --recipe ssd300_vgg16 --show-recipe > mine.yaml
      python cli.py parts train --dataset synthetic --recipe ssd300_vgg16 --trunk-weights vgg16.pth
      python cli.py parts train --annotations parts.json --images photos --recipe demo --start none
    """
    from data_cache.base.config import option_names, recipe_text, resolve_recipe
    from data_cache.base.devices import allow_many_files, choose_device, describe_device, keep_freed_memory
    from detect.model import shipped
    from detect.recipes import DEFAULT_RECIPE, PRESETS, DetectorRecipe
    from detect.training.runs import detector_folder
    from detect.training.start import NONE, chosen_start
    from detect.training.train import train_detector

    keep_freed_memory()
    allow_many_files()
    device = choose_device(device)
    name = recipe or DEFAULT_RECIPE
    options = [] if seed is None else [f"seed={seed}"]
    if trunk_weights is not None:
        options.append(f"trunk_weights={'null' if trunk_weights == 'none' else trunk_weights}")
    if "trunk_weights" in option_names([*overrides, *options]):
        if start not in (None, NONE):
            raise click.UsageError("backbone weights and --start cannot be combined: the start has a backbone")
        start = NONE
    settings = resolve_recipe(DetectorRecipe, PRESETS, name, [*overrides, *options])
    if show_recipe:
        click.echo(recipe_text(settings, name), nl=False)
        return
    folder = detector_folder(runs, name)
    file, root = choose_annotations(dataset, data_root, annotations, images, "parts_train.json")
    log.info(f"detector {folder.name} on {describe_device(device)}")
    chosen = chosen_start(start, settings)
    command = running_command({"--recipe": name, "--start": start or (NONE if chosen is None else shipped.NAME)})
    weights = train_detector(
        settings, file, root, folder, device=device, workers=workers, start=chosen, command=command
    )
    click.echo(weights)


for command in (parts_eval, parts_preview, convert, check_annotations):
    parts.add_command(command)
