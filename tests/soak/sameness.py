"""The same result however a command is run: workers, start methods, batches, shards, threads, processes of torchrun.

`python -m soak.sameness --seconds 180`, with PYTHONPATH=tests. Every value is tried alone first, then random values
together until the time is over.
"""

import itertools
import math
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import click
import numpy as np
import torch
from numpy.typing import NDArray

from data_cache.base.files import append_json_line, read_json
from data_cache.parts.cache import write_parts
from detect.model.ssd import build_network as build_detector
from detect.model.weights import write_weights
from helpers.toy.annotations import TINY as DETECTOR
from helpers.toy.vehicles import TINY_OPTIONS, Toy, assert_same_run, toy_set
from reid.data.vehicle_images import vehicle_images
from reid.features.extraction import extract_features
from reid.features.file import read_features
from reid.model.checkpoint import build_network
from reid.recipes import PRESETS
from soak.rows import Row, end_with
from soak.varied import Variation, applied, run_varied

RECIPE, SPLIT = "pgan_small", "test"
TRAINING = (*TINY_OPTIONS, "--set", "holdout=0.25", "--set", "validate_every=3")
TOLERANCE = 1e-4  # of 1 - cosine, of an image in batches of other sizes; 3e-6 was measured on rendered pictures
PLAIN = Variation()
STARTS = ("fork", "spawn", "forkserver")
VARIED: dict[str, dict[str, tuple[Any, ...]]] = {  # stage -> field of Variation -> values
    "detect": {
        "workers": (1, 4),
        "start": STARTS,
        "batch": (1, 8),
        "shard": (1, 5, 16),
        "threads": (2,),
        "apart": (True,),
        "ranks": (2,),
    },
    "evaluate": {"workers": (1, 4), "start": STARTS, "batch": (1, 8), "threads": (2,), "apart": (True,)},
    "train": {"workers": (1, 4), "start": STARTS, "apart": (True,), "ranks": (2,)},
}
REPEATED, TOGETHER = "repeated", "several together"


class Trial(NamedTuple):
    """A command, what is varied, and how."""

    stage: str
    varied: str
    variation: Variation


def single_trials() -> list[Trial]:
    """Return every value alone, those first that import nothing anew in other processes."""
    trials = [Trial("train", REPEATED, PLAIN)]
    for stage, fields in VARIED.items():
        for name, values in fields.items():
            needed: dict[str, Any] = {"start": {"workers": 1}, "ranks": {"shard": 5}}.get(name, {})
            trials += [Trial(stage, name, Variation(**needed, **{name: value})) for value in values]
    return sorted(trials, key=lambda trial: (trial.variation.ranks > 1, trial.varied in ("start", "apart")))


def mixed_trials(random: Random) -> Iterator[Trial]:
    """Yield random values together, without end."""
    while True:
        stage = random.choice(list(VARIED))
        options = {name: random.choice((getattr(PLAIN, name), *values)) for name, values in VARIED[stage].items()}
        yield Trial(stage, TOGETHER, Variation(**options))


class Place:
    """A toy set with a detector, and the results of commands on it."""

    def __init__(self, folder: Path, seed: int) -> None:
        """Write the set to `folder`, with one image cut short."""
        self.folder, self.seed, self._made = folder, seed, itertools.count()
        self.toy: Toy = toy_set(folder / "data")
        images = folder / "data/images"
        (images / "cut.jpg").write_bytes((images / "00-0.jpg").read_bytes()[:700])
        torch.manual_seed(seed)
        write_weights(folder / "detector.safetensors", build_detector(DETECTOR), DETECTOR)
        write_parts(folder / "given/folder/parts.h5", self.toy.parts)
        self._references: dict[tuple[str, int], Path] = {}

    def reference(self, stage: str, ranks: int = 1) -> Path:
        """Return the runs folder of the plain command. Raises RuntimeError if it fails.

        Training in two processes has batch-norm statistics of its own, so it has a reference of its own.
        """
        key = stage, ranks if stage == "train" else 1
        if key not in self._references:
            self._references[key] = self._run(stage, Variation(ranks=key[1]))
        return self._references[key]

    def difference(self, trial: Trial) -> str:
        """Run a trial; return what differs from the reference or why it failed, "" if all is the same."""
        try:
            reference = self.reference(trial.stage, trial.variation.ranks)
            runs = self._run(trial.stage, trial.variation)
        except RuntimeError as error:
            return str(error)
        found = difference(trial.stage, runs, reference, exact=trial.variation.batch == PLAIN.batch)
        if not found:
            shutil.rmtree(runs)
        return found

    def _run(self, stage: str, variation: Variation) -> Path:
        """Run a command in a new runs folder and return it."""
        before = self.reference("train") if stage == "evaluate" else self.folder / "given"
        runs = shutil.copytree(before, self.folder / f"runs-{next(self._made)}")
        ended = run_varied(variation, self._words(stage, variation, runs))
        if ended.code:
            raise RuntimeError(f"{variation} ended with {ended.code}: {ended.output}")
        return runs

    def _words(self, stage: str, variation: Variation, runs: Path) -> list[str]:
        data, how = self.folder / "data", ["--device", "cpu", "--workers", str(variation.workers)]
        where = ["--dataset", "folder", "--data-root", str(data), "--runs", str(runs), *how]
        if stage == "detect":
            given = ["--images", str(data / "images"), "--detector", str(self.folder / "detector.safetensors")]
            return ["detect", *given, "--output", str(runs / "parts.h5"), "--batch-size", str(variation.batch), *how]
        if stage == "train":
            return ["train", *where, "--recipe", RECIPE, *TRAINING, f"--seed={self.seed}"]
        return ["evaluate", *where, "--recipe", RECIPE, "--rerank", "--expand", "2"]


def difference(stage: str, found: Path, wanted: Path, *, exact: bool) -> str:
    """Return what differs in the results of a command in two runs folders, "" if nothing.

    Features computed in other batches (not `exact`) may differ by rounding.
    """
    if stage == "detect":
        return "" if (found / "parts.h5").read_bytes() == (wanted / "parts.h5").read_bytes() else "parts.h5 differs"
    one, other = found / "folder" / RECIPE, wanted / "folder" / RECIPE
    if stage == "train":
        try:
            assert_same_run(one, other)
        except AssertionError as error:
            return f"the trained networks differ: {error}"
        return ""
    one, other = one / SPLIT, other / SPLIT
    features = [folder / "features.safetensors" for folder in (one, other)]
    distance = largest_distance(*(read_features(path).matrix for path in features))
    if distance > TOLERANCE or (exact and features[0].read_bytes() != features[1].read_bytes()):
        return f"the features differ, by up to {distance:.1e} of cosine"
    scores = [read_json(folder / "metrics.json")["scores"] for folder in (one, other)]
    return "" if scores[0] == scores[1] else f"the scores differ: {scores[0]} and {scores[1]}"


def largest_distance(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return the largest 1 - cosine of a row with the same row."""
    return float((1 - np.einsum("nc,nc->n", first.astype(np.float64), second.astype(np.float64))).max())


def rounding(toy: Toy, size: int) -> float:
    """Return the largest distance of ResNet-50 features of `size`-pixel images in batches of 1 or 8 from plain ones.

    On one CPU, ResNet-18, ResNet-34 and MobileNetV2 gave the same bits in batches of any size, and this one did not.
    """
    recipe = PRESETS["pgan"].model_copy(update={"trunk_weights": None, "image_size": size, "parts": 2})
    torch.manual_seed(0)
    network, names = build_network(recipe, 8), toy.dataset.names()[: PLAIN.batch]
    images = vehicle_images(toy.dataset, toy.parts, names, top_d=recipe.parts, size=size)

    def features(batch: int) -> NDArray[np.float32]:
        with applied(Variation(batch=batch)):
            return extract_features(network, images, device="cpu", workers=0)[0]

    plain = features(PLAIN.batch)
    return max(largest_distance(features(batch), plain) for batch in (1, 8))


def run_trials(place: Place, trials: Iterable[Trial], findings: Path | None = None, end: float = math.inf) -> list[Row]:
    """Run the trials, none after the time `end`; return a row for each command and what was varied."""
    counts: dict[str, list[int]] = {}
    for trial in trials:
        if time.monotonic() >= end:
            break
        found = place.difference(trial)
        count = counts.setdefault(f"sameness: {trial.stage}, {trial.varied}", [0, 0])
        count[0] += 1
        count[1] += bool(found)
        if found and findings is not None:
            findings.mkdir(parents=True, exist_ok=True)
            line = {"stage": trial.stage, **asdict(trial.variation), "difference": found}
            append_json_line(findings / "sameness.jsonl", line)
    return [Row(fault, tries, lost) for fault, (tries, lost) in counts.items()]


def sameness(seconds: float, seed: int, findings: Path | None = None) -> list[Row]:
    """Try every value alone, then values together, until the time is over; differences go to `findings`."""
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        place = Place(Path(folder), seed)
        rounded = rounding(place.toy, 224)
        row = Row(f"sameness: ResNet-50 in other batches, off by {rounded:.0e}", 1, int(rounded > TOLERANCE))
        trials = itertools.chain(single_trials(), mixed_trials(Random(seed)))
        return [row, *run_trials(place, trials, findings, end)]


@click.command()
@click.option("--seconds", type=click.FloatRange(1), default=180.0, show_default=True, help="Time for all.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--findings", type=click.Path(path_type=Path, file_okay=False), help="Folder for differences.")
def main(seconds: float, seed: int, findings: Path | None) -> None:
    """Try, print a row for each command and what was varied, and exit with 1 if a result differed."""
    end_with(sameness(seconds, seed, findings))


if __name__ == "__main__":
    main()
