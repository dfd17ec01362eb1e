"""Commands of the part detector: `parts train | eval`. Every command parses, calls one function and prints."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from data_cache.options import (
    FILE,
    FOLDER,
    data_root_option,
    dataset_option,
    device_option,
    json_option,
    recipe_option,
    recipe_seed_option,
    runs_option,
    set_option,
    workers_option,
)
from detect.options import RECIPES, detector_option, weights_option

if TYPE_CHECKING:
    from detect.metrics import DetectorMetrics


@click.group("parts")
def parts() -> None:
    """Train and measure the part detector."""


@parts.command("train")
@dataset_option
@data_root_option
@runs_option
@recipe_option(None, f"Recipe: {RECIPES}; or a YAML file.")
@set_option
@click.option("--annotations", type=FILE, default=None, help="COCO JSON; default: parts_train.json of the data set.")
@click.option("--images", type=FOLDER, default=None, help="Folder of the annotated images; default: the data set's.")
@click.option(
    "--trunk-weights", default=None, help="imagenet, another name of torchvision's, a file, or none; default: recipe's."
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
    annotations: Path | None,
    images: Path | None,
    trunk_weights: str | None,
    seed: int | None,
    device: str,
    workers: int,
) -> None:
    """Train a part detector on annotated images; a stopped training goes on where it was.

    The weights kept are those of the epoch with the highest AP on held-out vehicles; curves.png shows the training.

    \b
    Examples:
      python cli.py parts train --dataset synthetic --recipe demo
      python cli.py parts train --annotations parts.json --images photos --set epochs=30
      python cli.py parts train --dataset synthetic --recipe ssd300_vgg16 --trunk-weights vgg16.pth
    """
    from data_cache.devices import choose_device, describe_device
    from data_cache.progress import say
    from data_cache.recipes import resolve_recipe
    from detect.recipes import PRESETS, DetectorRecipe, default_recipe
    from detect.training import train_detector

    device = choose_device(device)
    name = recipe or default_recipe(device)
    given = [] if seed is None else [f"seed={seed}"]
    if trunk_weights is not None:
        given.append(f"trunk_weights={'null' if trunk_weights == 'none' else trunk_weights}")
    settings = resolve_recipe(DetectorRecipe, PRESETS, name, [*overrides, *given])
    file, root = annotated(dataset, data_root, annotations, images, "parts_train.json")
    say(f"detector {Path(name).stem} on {describe_device(device)}")
    folder = runs / "detector" / Path(name).stem
    click.echo(train_detector(settings, file, root, folder, device=device, workers=workers))


@parts.command("eval")
@dataset_option
@data_root_option
@runs_option
@detector_option
@weights_option
@click.option("--annotations", type=FILE, default=None, help="COCO JSON; default: parts_test.json of the data set.")
@click.option("--images", type=FOLDER, default=None, help="Folder of the annotated images; default: the data set's.")
@device_option
@workers_option
@json_option
def parts_eval(
    dataset: str,
    data_root: Path,
    runs: Path,
    recipe: str | None,
    weights: Path | None,
    annotations: Path | None,
    images: Path | None,
    device: str,
    workers: int,
    as_json: bool,
) -> None:
    """Measure a part detector: COCO AP, AP by part, recall of the true parts by its 8 most confident boxes.

    \b
    Example:
      python cli.py parts eval --dataset synthetic --recipe demo
    """
    from data_cache.devices import choose_device
    from detect.annotations import read_annotations
    from detect.detector import load_detector
    from detect.evaluation import evaluate_detector
    from detect.training import trained_weights

    device = choose_device(device)
    file, root = annotated(dataset, data_root, annotations, images, "parts_test.json")
    detector = load_detector(weights or trained_weights(runs, recipe, device), device)
    metrics = evaluate_detector(detector, read_annotations(file, root), root, workers=workers)
    if as_json:
        click.echo(json.dumps(metrics.as_json()))
    else:
        show_metrics(metrics)


def annotated(
    dataset: str, data_root: Path, annotations: Path | None, images: Path | None, default: str
) -> tuple[Path, Path]:
    """Return (COCO JSON, folder of its images) from the options, or those of the data set."""
    from data_cache.datasets import load_dataset

    if annotations is not None:
        return annotations, images or annotations.parent
    root = load_dataset(dataset, data_root).root
    if not (root / default).exists():
        raise click.UsageError(f"{root / default} is not there; give --annotations FILE and --images FOLDER")
    return root / default, images or root


def show_metrics(metrics: "DetectorMetrics") -> None:
    """Print a table of the metrics."""
    from rich.console import Console
    from rich.table import Table

    table = Table("measure", "value", title=f"{metrics.parts} parts in {metrics.images} images")
    rows = {
        "AP": metrics.ap,
        "AP50": metrics.ap50,
        f"recall@{metrics.recall_depth}": metrics.recall,
        f"recall@{metrics.recall_depth}, at most": metrics.recall_limit,
        f"recall@{metrics.recall_depth}, label right": metrics.recall_with_label,
        **{f"AP {name}": value for name, value in metrics.ap_by_part.items()},
    }
    for name, value in rows.items():
        table.add_row(name, f"{value:.3f}")
    Console().print(table)
