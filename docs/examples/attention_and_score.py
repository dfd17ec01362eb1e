"""What PGAN's attention settles on, against its score: a line for every run of an ablation, and a picture.

An example of how features, which carry the attention, are joined with the boxes that it was given. The parts that count
as telling are those that some vehicles of a fleet have and others lack.

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
from reid.ablation.place import TRUE
from reid.evaluation.metrics_file import METRICS, read_metrics
from reid.features.file import read_features

TELLING = (
    *("annual service signs", "car topwindow", "carrier", "entry license", "hanging", "lay ornament"),
    *("newer sign", "safe belt", "tissuebox"),
)
WHOSE = {"detector": "the detector's", "rarest": "true, rarest kinds first", "truth": "true, largest first"}


@dataclass(frozen=True)
class Point:
    """A run: its name, whose boxes it has, the share of its attention on telling parts (of 1), and its mAP (of 1)."""

    run: str
    boxes: str
    share: float
    score: float

    @property
    def usual(self) -> bool:
        """Whether λ and the dimension are those of the other tables: they change the score of the baseline too."""
        return "lambda=" not in self.run and "features=" not in self.run


def share_of(parts: PartBoxes, features: Path) -> float:
    """Return the mean over images of the attention, which sums to 1, on boxes whose label is telling."""
    found = read_features(features, "run `ablate` again")
    labels = parts.labels[parts.rows(found.names)][:, : found.attention.shape[1]]
    telling = np.isin(labels, [parts.part_names.index(name) for name in TELLING])
    return float((found.attention * telling).sum(axis=1).mean())


def points(dataset: Dataset, runs: Path) -> list[Point]:
    """Return a point for every finished run with PAM and parts, on the detector's boxes or on true ones."""
    caches: dict[str, PartBoxes] = {kind: of(dataset) for kind, of in TRUE.items()}
    caches["detector"] = read_parts(runs / dataset.name / "parts.h5")
    found = []
    for folder in sorted((runs / dataset.name / "ablation").glob("pgan*-seed*")):
        name, test = folder.name.rpartition("-seed")[0], folder / dataset.default_split()
        boxes = name.rpartition("_boxes=")[2] if "_boxes=" in name else "detector"
        if "no_pam" in name or "parts=0" in name or boxes not in caches or not (test / METRICS).exists():
            continue
        score = read_metrics(test / METRICS)["scores"]["trained"]["mAP"]
        found.append(Point(folder.name, boxes, share_of(caches[boxes], test / "features.safetensors"), score))
    return found


@click.command()
@click.option("--dataset", default="synthetic", show_default=True)
@click.option("--data-root", type=click.Path(path_type=Path), default=Path("data"), show_default=True)
@click.option("--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="PNG to write.")
def main(dataset: str, data_root: Path, runs: Path, output: Path) -> None:
    """Print run, share of the attention and mAP in percent; draw them."""
    found = points(load_dataset(dataset, data_root), runs)
    for point in sorted(found, key=lambda point: point.share):
        click.echo(f"{100 * point.share:5.1f} {100 * point.score:5.1f}  {point.run}")
    with figure_written_to(output, 7.0, 4.0) as figure:
        axes = figure.subplots()
        for colour, boxes in zip(COLOURS, WHOSE, strict=False):
            for usual, marker, fill, label in ((True, "o", colour, WHOSE[boxes]), (False, "D", "white", None)):
                own = [point for point in found if point.boxes == boxes and point.usual == usual]
                place = [100 * point.share for point in own], [100 * point.score for point in own]
                axes.plot(*place, marker, color=colour, markerfacecolor=fill, label=label if own else None)
        axes.set(xlabel="attention on telling parts, percent", ylabel="mAP, percent", xlim=(-3, 100))
        axes.legend(frameon=False, title="boxes (hollow: other λ or 2C')", loc="lower right")


if __name__ == "__main__":
    main()
