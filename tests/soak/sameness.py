"""The same answer however a command is run: workers, start methods, batches, shards, threads, processes of torchrun.

`python -m soak.sameness --seconds 180`, with the folder tests/ on the path (PYTHONPATH=tests). Every value is tried
alone first, then any of them together until the time is over. What differs is put into --findings.
"""

import itertools
import math
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import click
import torch

from data_cache.base.files import append_json_line
from data_cache.parts.cache import write_parts
from detect.model.ssd import build_network as build_detector
from detect.model.weights import write_weights
from helpers.toy.annotations import TINY as DETECTOR
from helpers.toy.vehicles import TINY_OPTIONS, Toy, toy_set
from soak.answers import RECIPE, TOLERANCE, compared, rounding
from soak.rows import Row, end_with
from soak.varied import Variation, ended

PLAIN = Variation()
STARTS = ("fork", "spawn", "forkserver")
BATCHES = (Variation(batch=1), Variation(batch=8))
AXES: dict[str, tuple[Variation, ...]] = {
    "workers": (Variation(workers=1), Variation(workers=4)),
    "start method": tuple(Variation(workers=1, start=start) for start in STARTS),
    "batch size": BATCHES,
    "shard size": (Variation(shard=1), Variation(shard=5), Variation(shard=16)),
    "threads": (Variation(threads=2),),
    "a process apart": (Variation(apart=True),),
    "torchrun": (Variation(ranks=2, shard=5),),
}
STAGES = {
    "detect": ("workers", "start method", "batch size", "shard size", "threads", "a process apart", "torchrun"),
    "evaluate": ("workers", "start method", "batch size", "threads", "a process apart"),
    "train": ("workers", "start method", "a process apart", "torchrun"),
}
TRAINED = (*TINY_OPTIONS, "--set", "holdout=0.25", "--set", "validate_every=3")
ALONE, TOGETHER = "the same again", "all together"


@dataclass(frozen=True)
class Trial:
    """A command, what is varied of it, and how."""

    stage: str
    axis: str
    variation: Variation

    @property
    def fault(self) -> str:
        """What the table calls it."""
        return f"sameness: {self.stage}, {self.axis}"


class Place:
    """A toy set with a detector, what the commands make of it when nothing is varied, and what they make else."""

    def __init__(self, folder: Path, seed: int) -> None:
        """Write the set into `folder`; one of its images is cut short."""
        self.folder, self.seed, self._made = folder, seed, itertools.count()
        self.toy: Toy = toy_set(folder / "data")
        images = folder / "data/images"
        (images / "cut.jpg").write_bytes((images / "00-0.jpg").read_bytes()[:700])
        torch.manual_seed(seed)
        write_weights(folder / "detector.safetensors", build_detector(DETECTOR), DETECTOR)
        write_parts(folder / "given/folder/parts.h5", self.toy.parts)
        self._wanted: dict[tuple[str, int], Path] = {}

    def wanted(self, trial: Trial) -> Path:
        """Return the folder of runs where the trial's command was run plainly. Raises RuntimeError where it failed.

        Training in two processes has statistics of batch norms of its own: it is compared with two others.
        """
        ranks = trial.variation.ranks if trial.stage == "train" else 1
        key = trial.stage, ranks
        if key not in self._wanted:
            runs, told = self.made(Trial(trial.stage, ALONE, replace(PLAIN, ranks=ranks)))
            if told:
                raise RuntimeError(told)
            self._wanted[key] = runs
        return self._wanted[key]

    def made(self, trial: Trial) -> tuple[Path, str]:
        """Run the trial's command in a fresh folder of runs; return that, and what it said where it failed."""
        before = self.wanted(Trial("train", ALONE, PLAIN)) if trial.stage == "evaluate" else self.folder / "given"
        runs = shutil.copytree(before, self.folder / f"runs-{next(self._made)}")
        how = ended(trial.variation, self.words(trial, runs))
        return runs, "" if how.code == 0 else f"exit code {how.code}: {how.told}"

    def words(self, trial: Trial, runs: Path) -> list[str]:
        """Return the command as typed."""
        data, how = self.folder / "data", ["--device", "cpu", "--workers", str(trial.variation.workers)]
        where = ["--dataset", "folder", "--data-root", str(data), "--runs", str(runs), *how]
        if trial.stage == "detect":
            given = ["--images", str(data / "images"), "--weights", str(self.folder / "detector.safetensors")]
            output = ["--output", str(runs / "parts.h5"), "--batch-size", str(trial.variation.batch)]
            return ["detect", *given, *output, *how]
        if trial.stage == "train":
            return ["train", *where, "--recipe", RECIPE, *TRAINED, f"--seed={self.seed}"]
        return ["evaluate", *where, "--recipe", RECIPE, "--rerank", "--expand", "2"]

    def different(self, trial: Trial) -> str:
        """Run a trial; return what is not the same, or how it failed; nothing where all is the same."""
        try:
            wanted = self.wanted(trial)
        except RuntimeError as error:
            return f"where nothing is varied: {error}"
        runs, told = self.made(trial)
        told = told or compared(trial.stage, runs, wanted, exact=trial.variation.batch == PLAIN.batch)
        if not told:
            shutil.rmtree(runs)
        return told


def single_trials() -> list[Trial]:
    """Return every value of every axis alone, those first that need no process of their own."""
    trials = [Trial("train", ALONE, PLAIN)]
    for stage, axes in STAGES.items():
        trials += [Trial(stage, axis, variation) for axis in axes for variation in AXES[axis]]
    return sorted(trials, key=lambda trial: _burden(trial.variation))


def _burden(variation: Variation) -> int:
    """Return how many processes import everything anew; the sort by it is stable."""
    return variation.ranks * (variation.apart or variation.ranks > 1) + (variation.start in ("spawn", "forkserver"))


def mixed_trials(random: Random) -> Iterator[Trial]:
    """Yield any values together, without end."""
    while True:
        stage = random.choice(list(STAGES))
        options: dict[str, Any] = {"workers": random.choice((0, 1, 2, 4)), "start": random.choice((None, *STARTS))}
        if "threads" in STAGES[stage]:
            options |= {"threads": random.choice((1, 2)), "batch": random.choice((1, 3, 8, 16))}
        if "torchrun" in STAGES[stage]:
            options |= {"ranks": random.choice((1, 1, 1, 2)), "shard": random.randint(1, 20)}
        yield Trial(stage, TOGETHER, Variation(**options))


def tried(place: Place, trials: Iterable[Trial], findings: Path | None = None, end: float = math.inf) -> list[Row]:
    """Run the trials, none after `end`, and return a row for each command and axis; `survived` are the same answers."""
    counts: dict[str, list[int]] = {}
    for trial in trials:
        if time.monotonic() >= end:
            break
        told = place.different(trial)
        counts.setdefault(trial.fault, [0, 0])[bool(told)] += 1
        if told and findings is not None:
            findings.mkdir(parents=True, exist_ok=True)
            append_json_line(
                findings / "sameness.jsonl", {"fault": trial.fault, **asdict(trial.variation), "told": told}
            )
    return [Row(fault, same + different, same, different) for fault, (same, different) in counts.items()]


def sameness(seconds: float, seed: int, findings: Path | None = None) -> list[Row]:
    """Try every value alone, then any of them together, until the time is over; what is under way then is finished.

    The values that come last are not tried where the time is short. What differs goes to sameness.jsonl in `findings`.
    """
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        place = Place(Path(folder), seed)
        rows = [
            Row(
                f"sameness: ResNet-50, {batch} at a time, off by {away:.0e}",
                1,
                int(away <= TOLERANCE),
                int(away > TOLERANCE),
            )
            for batch, away in rounding(place.toy, 224, [variation.batch for variation in BATCHES]).items()
        ]
        return rows + tried(place, itertools.chain(single_trials(), mixed_trials(Random(seed))), findings, end)


@click.command()
@click.option("--seconds", type=click.FloatRange(1), default=180.0, show_default=True, help="Time for all.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--findings", type=click.Path(path_type=Path, file_okay=False), help="Folder for what is found.")
def main(seconds: float, seed: int, findings: Path | None) -> None:
    """Try, print a row for each command and axis, and end with 1 where an answer differed."""
    end_with(sameness(seconds, seed, findings))


if __name__ == "__main__":
    main()
