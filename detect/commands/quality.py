"""The commands `parts eval` and `parts preview`: check a part detector by numbers and by eye."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from data_cache.base.options import (
    FILE,
    FOLDER,
    data_root_option,
    dataset_option,
    device_option,
    first_option,
    json_option,
    per_label_option,
    runs_option,
    workers_option,
)
from detect.commands.options import annotated_options, choose_annotations, detector_option

if TYPE_CHECKING:
    from data_cache.parts.selection import First

log = logging.getLogger(__name__)

names_option = click.option(
    "--names", "pattern", default=None, help="Only images whose whole name matches, e.g. '*_cam1.jpg'."
)


@click.command("eval")
@dataset_option
@data_root_option
@runs_option
@detector_option()
@annotated_options("parts_test.json")
@names_option
@per_label_option
@first_option
@click.option(
    "--output",
    type=FOLDER,
    default=None,
    help="Folder for metrics.json and plots; default: eval-ANNOTATIONS beside the weights.",
)
@device_option
@workers_option
@json_option
def parts_eval(
    dataset: str,
    data_root: Path,
    runs: Path,
    detector: str | None,
    annotations: Path | None,
    images: Path | None,
    pattern: str | None,
    per_label: int | None,
    first: "First",
    output: Path | None,
    device: str,
    workers: int,
    as_json: bool,
) -> None:
    """Measure a part detector: average precision in total, by part and by size; recall by the D best boxes.

    Images show more parts than the D boxes that the network uses, so compare recall as a share of what D boxes can
    reach. The metrics are also written to a file, with plots.

    \b
    Examples:
      python cli.py parts eval --dataset synthetic --detector demo
      python cli.py parts eval --dataset synthetic --names '*_c04_*' --first varying
      python cli.py parts eval --annotations parts.json --images photos --detector shipped --output quality
    """
    from data_cache.base.devices import choose_device
    from data_cache.parts.selection import BoxChoice
    from detect.annotations.reading import matching, read_annotations
    from detect.evaluation.evaluate import evaluate_detector
    from detect.evaluation.metrics import REPORTED_D
    from detect.evaluation.report import show_metrics, write_quality
    from detect.model.detector import load_detector
    from detect.training.runs import chosen_detector, results_folder

    device = choose_device(device)
    file, root = choose_annotations(dataset, data_root, annotations, images, "parts_test.json")
    used = chosen_detector(runs, detector)
    annotated = matching(read_annotations(file, root), pattern)
    choice = BoxChoice(REPORTED_D, per_label, first)
    metrics = evaluate_detector(load_detector(used, device), annotated, root, workers=workers, choice=choice)
    if as_json:
        click.echo(json.dumps(metrics.to_dict()))
    else:
        show_metrics(metrics)
    folder = output or results_folder(runs, used) / f"eval-{file.stem}"
    log.info(f"written to {write_quality(metrics, folder, weights=used, annotations=file)}")


@click.command("preview")
@dataset_option
@data_root_option
@runs_option
@detector_option()
@click.option("--cache", type=FILE, default=None, help="Show the boxes of this part cache; run no detector.")
@click.option("--images", type=FOLDER, default=None, help="Folder of photographs, instead of a data set.")
@click.option("--annotations", type=FILE, default=None, help="COCO JSON: show its images, with the true parts dashed.")
@click.option("--output", type=FILE, default=None, help="PNG to write; default: RUNS/NAME/parts_preview.png.")
@click.option("--count", type=click.IntRange(1, 200), default=24, show_default=True, help="Number of images.")
@names_option
@click.option("--seed", type=click.IntRange(0), default=None, help="Choose images at random; default: evenly spaced.")
@click.option("--top", type=click.IntRange(1), default=8, show_default=True, help="Most confident boxes per image.")
@click.option("--worst", is_flag=True, help="The annotated images with the smallest share of parts found, worst first.")
@per_label_option
@first_option
@click.option(
    "--minimum-score", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="Lowest score of a box."
)
@device_option
@workers_option
def parts_preview(
    dataset: str,
    data_root: Path,
    runs: Path,
    detector: str | None,
    cache: Path | None,
    images: Path | None,
    annotations: Path | None,
    output: Path | None,
    count: int,
    pattern: str | None,
    seed: int | None,
    top: int,
    worst: bool,
    per_label: int | None,
    first: "First",
    minimum_score: float,
    device: str,
    workers: int,
) -> None:
    """Write a contact sheet: images with the detected boxes, the name of each part and its score.

    \b
    Examples:
      python cli.py parts preview --dataset synthetic --detector demo
      python cli.py parts preview --dataset veri --cache runs/veri/parts.h5 --names 'image_query/*' --seed 1
      python cli.py parts preview --annotations data/synthetic/parts_test.json --detector mine.safetensors --worst
      python cli.py parts preview --dataset veri --cache runs/veri/parts.h5 --first varying
      python cli.py parts preview --images photos --count 48 --minimum-score 0.3 --output photos.png
    """
    from data_cache.base.devices import choose_device
    from data_cache.parts.cache import read_parts
    from data_cache.parts.selection import BoxChoice, select_parts
    from detect.evaluation.preview import choose_names, detect_images, find_images, worst_names, write_preview
    from detect.training.runs import chosen_detector

    if cache is not None and detector is not None:
        raise click.UsageError("--cache cannot be combined with --detector")
    source = find_images(dataset, data_root, images, annotations)
    if worst and (not source.truth or seed is not None):
        raise click.UsageError("--worst needs --annotations, and no --seed")
    shown = len(source.names) if worst else count
    chosen = choose_names(source.names, count=shown, pattern=pattern, seed=seed)
    if cache is not None:
        title, detected = f"part cache {cache}", read_parts(cache)
    else:
        device = choose_device(device)
        used = chosen_detector(runs, detector)
        title = f"detector {used}"
        detected = detect_images(chosen, source.root, used, device=device, workers=workers)
    detected = select_parts(detected, BoxChoice(top, per_label, first))
    if worst:
        truth = {name: source.truth[name] for name in chosen}
        chosen = worst_names(detected, truth, top=top, count=count)
    target = output or runs / source.label / "parts_preview.png"
    sheet = write_preview(
        detected,
        chosen,
        source.root,
        target,
        title=title,
        truth=source.truth,
        top=top,
        minimum_score=minimum_score,
    )
    click.echo(sheet)
