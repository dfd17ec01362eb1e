"""How long the answer to one photograph takes: decode, find parts, feature, search; and what faster arithmetic costs.

    OMP_WAIT_POLICY=PASSIVE python -m benchmarks.one_vehicle
    OMP_WAIT_POLICY=PASSIVE python -m benchmarks.one_vehicle --photographs Vehicle-Re-ID-Dataset --folder /tmp/latency

The networks are those that ship. All variants answer the same photograph in turn, because a shared machine drifts:
compare within a run.
"""

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.one_vehicle.answers import STEPS, Programs, answer
from data_cache.base.progress import hidden_progress
from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.dataset import Dataset
from data_cache.synthetic import SyntheticSettings, write_synthetic
from reid.features.file import Features
from reid.retrieval.scoring import Scoring
from vehicle_reid.gallery.search import ExactSearch

SETTINGS = SyntheticSettings(vehicles=60)
GALLERY = 10_000
BATCH, CALIBRATION_IMAGES, LEAST_ANSWERS = 16, 64, 10


def latencies(
    programs: Programs, files: Sequence[bytes], index: ExactSearch, threads: int, batch: int
) -> dict[str, NDArray[np.float64]]:
    """Return the seconds of each answer's steps and of all CPUs (A, 5), by variant; all answer each file in turn."""
    variants = programs.variants(threads)
    groups = [files[first : first + batch] for first in range(0, len(files) - batch + 1, batch)]
    groups = groups * -(-LEAST_ANSWERS // len(groups))
    for variant in variants:  # the first answers of each build what the later ones use
        for group in groups[:2]:
            answer(group, variant, programs.recipes, index)
    taken: dict[str, list[list[float]]] = {variant.name: [] for variant in variants}
    for group in groups:
        for variant in variants:
            taken[variant.name].append(answer(group, variant, programs.recipes, index)[1])
    return {name: np.array(rows) for name, rows in taken.items()}


def latency_table(taken: Mapping[str, NDArray[np.float64]], batch: int) -> list[str]:
    """Return the lines of a table: milliseconds per image, and how many times as fast as the second variant, today's.

    The ratio is the median over answers, in each of which both answered the same images one after the other.
    """
    today = list(taken.values())[1]
    head = [*STEPS, "whole: p50", "p99", "CPU", "times as fast", "by CPU"]
    lines = [f"| | {' | '.join(head)} |", f"|---|{'---:|' * len(head)}"]
    for name, rows in taken.items():
        each, whole = 1000 * rows / batch, 1000 * rows[:, :-1].sum(axis=1) / batch
        values = [*np.median(each[:, :-1], axis=0), *np.quantile(whole, (0.5, 0.99)), np.median(each[:, -1])]
        faster = np.median(today[:, :-1].sum(axis=1) / rows[:, :-1].sum(axis=1))
        ratios = [faster, np.median(today[:, -1]) / np.median(rows[:, -1])]
        cells = [*(f"{value:.1f}" for value in values), *(f"{value:.2f}" for value in ratios)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def score_table(programs: Programs, data: Dataset, index: ExactSearch, threads: int) -> list[str]:
    """Return the lines of a table: scores of each variant on a test, and how far its features are from the first's."""
    split = data.default_split()
    rows = data.protocol(split, draws=1).rows()
    names = tuple(data.table["name"].iloc[rows])
    files = [(data.folder / name).read_bytes() for name in names]
    lines, exact = ["| | mAP | CMC@1 | largest 1 - cosine |", "|---|---:|---:|---:|"], None
    for variant in programs.variants(threads):
        batches = [files[first : first + BATCH] for first in range(0, len(files), BATCH)]
        matrix = np.concatenate([answer(batch, variant, programs.recipes, index)[0] for batch in batches])
        exact = matrix if exact is None else exact
        features = Features(names, matrix, np.zeros((len(names), 0), np.float32), {})
        (scores,) = Scoring(draws=1).score({"": features}, data, split, device="cpu").scores.values()
        metrics = scores.to_dict()
        away = 1 - np.einsum("nc,nc->n", matrix.astype(np.float64), exact).min()
        lines.append(f"| {variant.name} | {100 * metrics['mAP']:.1f} | {100 * metrics['cmc1']:.1f} | {away:.1e} |")
    return lines


def photographs(folder: Path, scratch: Path) -> Dataset:
    """Return the test of 102 vehicles in the Vehicle-Re-ID-Dataset, by the CSV that the example writes."""
    script = Path(__file__).parents[2] / "docs/examples/vehicle_re_id_dataset_csv.py"
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    path = scratch / "photographs.csv"
    lines = ["name,vehicle_id,camera_id,split", *(",".join(map(str, row)) for row in example.rows(folder))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return load_dataset(str(path), folder)


def measure(folder: Path, photographs_folder: Path | None, images: int, threads: Sequence[int]) -> Iterator[str]:
    """Yield the lines of all tables; everything that is made lies in `folder`."""
    if not (folder / "synthetic/images.csv").exists():
        write_synthetic(SETTINGS, folder / "synthetic", workers=2)
    data = load_dataset("synthetic", folder)
    by_split = {part: [data.folder / name for name in rows["name"]] for part, rows in data.table.groupby("split")}
    torch.set_num_threads(max(threads))
    programs = Programs(folder, by_split["train"][:CALIBRATION_IMAGES])
    test = [path for part, paths in by_split.items() if part != "train" for path in paths]
    files = [path.read_bytes() for path in test[:images]]
    random = np.random.default_rng(0).standard_normal((GALLERY, programs.recipes.network.feature_length))
    index = ExactSearch((random / np.linalg.norm(random, axis=1, keepdims=True)).astype(np.float32))
    for count in threads:
        torch.set_num_threads(count)
        for batch in (1, BATCH):
            taken = latencies(programs, files, index, count, batch)
            title = f"{count} thread{'s' * (count > 1)}, batch {batch}: ms per image, {len(files)} images"
            yield from ("", title, "", *latency_table(taken, batch))
    yield from ("", f"rendered test, {len(test)} images", "", *score_table(programs, data, index, max(threads)))
    if photographs_folder is None:
        yield from ("", "photographs: left out, give their folder with --photographs")
    else:
        real = photographs(photographs_folder, folder)
        yield from ("", "photographs of 102 vehicles", "", *score_table(programs, real, index, max(threads)))


@click.command(help=__doc__)
@click.option("--images", type=click.IntRange(BATCH), default=96, show_default=True, help="Images that are timed.")
@click.option("--threads", multiple=True, type=click.IntRange(1), default=(1, 2), show_default=True)
@click.option("--photographs", "photographs_folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Keep renderings and programs here, and use those of an earlier run.",
)
def main(images: int, threads: tuple[int, ...], photographs_folder: Path | None, folder: Path | None) -> None:
    """Print the tables."""
    with TemporaryDirectory() as scratch, hidden_progress():
        for line in measure(folder or Path(scratch), photographs_folder, images, threads):
            click.echo(line)


if __name__ == "__main__":
    main()
