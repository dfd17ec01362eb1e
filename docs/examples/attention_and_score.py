"""Which share of PGAN's attention is on discriminative parts, against its mAP, for all runs of an ablation.

An example of joining features, which contain the attention, with part boxes. Discriminative parts are those that some
vehicles of a fleet have and others lack.

    python docs/examples/attention_and_score.py --dataset synthetic --data-root data/fleets480 \\
           --runs runs/fleets480 --output attention_and_score.png
"""

from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.dataset import Dataset
from data_cache.images.plots import COLOURS, figure_written_to
from data_cache.parts.cache import PartBoxes, read_parts
from reid.ablation.boxes import TRUE_BOXES
from reid.evaluation.metrics_file import read_metrics
from reid.features.file import read_features
from reid.runs import METRICS, ablation_folder, parts_path

DISCRIMINATIVE = (
    *("annual service signs", "car topwindow", "carrier", "entry license", "hanging", "lay ornament"),
    *("newer sign", "safe belt", "tissuebox"),
)
BOX_LABELS = {"detector": "the detector's", "rarest": "true, rarest kinds first", "truth": "true, largest first"}


@dataclass(frozen=True)
class Point:
    """A run: its name, kind of boxes, share of the attention on discriminative parts, and mAP; both in [0, 1]."""

    run: str
    boxes: str
    share: float
    score: float

    @property
    def has_default_settings(self) -> bool:
        """Whether λ and 2C' are the defaults; they change the score of the baseline too."""
        return "lambda=" not in self.run and "features=" not in self.run


def discriminative_share(parts: PartBoxes, features_file: Path) -> float:
    """Return the attention on discriminative parts, of a total of 1 per image, averaged over the images."""
    features = read_features(features_file, "run `ablate` again")
    labels = parts.labels[parts.rows(features.names)][:, : features.attention.shape[1]]
    discriminative = np.isin(labels, [parts.part_names.index(name) for name in DISCRIMINATIVE])
    return float((features.attention * discriminative).sum(axis=1).mean())


def read_points(dataset: Dataset, runs: Path) -> list[Point]:
    """Return a point for every finished run with PAM and parts, on the detector's boxes or on true ones."""
    caches: dict[str, PartBoxes] = {kind: make(dataset) for kind, make in TRUE_BOXES.items()}
    caches["detector"] = read_parts(parts_path(runs, dataset.name))
    points = []
    for folder in sorted(ablation_folder(runs, dataset.name).glob("pgan*-seed*")):
        name, test = folder.name.rpartition("-seed")[0], folder / dataset.default_split()
        boxes = name.rpartition("_boxes=")[2] if "_boxes=" in name else "detector"
        if "no_pam" in name or "parts=0" in name or boxes not in caches or not (test / METRICS).exists():
            continue
        score = read_metrics(test / METRICS)["scores"]["trained"]["mAP"]
        share = discriminative_share(caches[boxes], test / "features.safetensors")
        points.append(Point(folder.name, boxes, share, score))
    return points


@click.command()
@click.option("--dataset", default="synthetic", show_default=True)
@click.option("--data-root", type=click.Path(path_type=Path), default=Path("data"), show_default=True)
@click.option("--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="PNG to write.")
def main(dataset: str, data_root: Path, runs: Path, output: Path) -> None:
    """Print share of the attention, mAP (both in percent) and name of every run, and plot them."""
    points = read_points(load_dataset(dataset, data_root), runs)
    for point in sorted(points, key=lambda point: point.share):
        click.echo(f"{100 * point.share:5.1f} {100 * point.score:5.1f}  {point.run}")
    with figure_written_to(output, 7.0, 4.0) as figure:
        axes = figure.subplots()
        for colour, boxes in zip(COLOURS, BOX_LABELS, strict=False):
            for default, marker, fill, label in ((True, "o", colour, BOX_LABELS[boxes]), (False, "D", "white", None)):
                own = [point for point in points if (point.boxes, point.has_default_settings) == (boxes, default)]
                shares, scores = [100 * point.share for point in own], [100 * point.score for point in own]
                axes.plot(shares, scores, marker, color=colour, markerfacecolor=fill, label=label if own else None)
        axes.set(xlabel="attention on discriminative parts, percent", ylabel="mAP, percent", xlim=(-3, 100))
        axes.legend(frameon=False, title="boxes (hollow: other λ or 2C')", loc="lower right")


if __name__ == "__main__":
    main()
