"""Running what is missing of an ablation, one run after the other; after each the tables are written anew."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from data_cache.base.errors import UserError
from reid.ablation.files import write_results
from reid.ablation.place import Place, Standing
from reid.ablation.plan import Plan, Run
from reid.ablation.results import Results, results_of
from reid.evaluation.evaluate import evaluate
from reid.evaluation.scoring import Scoring
from reid.model.checkpoint import read_checkpoint
from reid.runs import decoded_path
from reid.training.train import train

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Job:
    """The plan for one data set, and how far each of its runs has come."""

    place: Place
    plan: Plan
    found: dict[str, Standing]  # by the name of a run's folder
    command: str

    def results(self) -> list[Results]:
        """Return what the finished runs gave, sheet by sheet."""
        return [results_of(sheet, self.plan, self.place, self.found, self.command) for sheet in self.plan.sheets]

    def stem(self, name: str) -> Path:
        """Return where a sheet's files lie, without their suffix; a test that is not the default is named."""
        usual = self.place.split == self.place.dataset.default_split()
        return self.place.folder / (name if usual else f"{name}-{self.place.split}")

    def write(self, run: Run | None = None) -> None:
        """Write the sheets that a run belongs to, or all of them, as far as they have come."""
        for results in self.results():
            if run is None or any(line.run == run.name for line in results.lines):
                write_results(results, self.stem(results.sheet.name))


@dataclass(frozen=True)
class Conditions:
    """What a run is made with that does not change its result: device, loader processes, decoded images or not."""

    device: str
    workers: int
    decoded: bool


def job_of(place: Place, plan: Plan, command: str) -> Job:
    """Return the job with the standing of all its runs.

    Raises UserError, naming the run, for what would end one of them hours later: a folder that holds another recipe or
    other data, a part cache that does not serve, too few vehicles for a batch.
    """
    found = {}
    for run in plan.runs:
        with _named(run.title):
            place.require_boxes(run)
            place.material(run)
            found[run.folder] = place.standing(run)
    return Job(place, plan, found, command)


def run_all(jobs: Sequence[Job], conditions: Conditions) -> None:
    """Make every run that is not finished, and write the tables before the first and after each.

    Raises UserError, naming the run, where one fails. What is finished is kept, and the next call does the rest.
    """
    steps = [(job, run) for job in jobs for run in job.plan.runs]
    for job in jobs:
        job.write()
    for number, (job, run) in enumerate(steps, start=1):
        on = f" on {job.place.dataset.name}" if len(jobs) > 1 else ""
        title = f"run {number} of {len(steps)}: {run.title}{on}"
        finished = job.found[run.folder].metrics is not None
        log.info(title + (", finished" if finished else ""))
        if not finished:
            with _named(title):
                job.found[run.folder] = _finish(job.place, run, conditions)
            job.write(run)


def _finish(place: Place, run: Run, conditions: Conditions) -> Standing:
    """Train and evaluate a run, or what of it is missing."""
    dataset, boxes, device, workers = place.dataset, place.boxes_of(run), conditions.device, conditions.workers
    decoded = decoded_path(place.runs, dataset.name, run.recipe.image_size) if conditions.decoded else None
    best = train(run.recipe, dataset, boxes, place.folder_of(run), device=device, workers=workers, decoded=decoded)
    checkpoint, how = read_checkpoint(best), Scoring()
    evaluate(dataset, boxes, checkpoint, [place.split], how, untrained=False, device=device, workers=workers)
    return place.standing(run)


@contextmanager
def _named(run: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"{run}: {error}") from error
