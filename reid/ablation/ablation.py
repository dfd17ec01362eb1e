"""The ablation on one data set: unfinished runs are trained and evaluated, and the tables updated after each."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from data_cache.base.devices import Compute
from data_cache.base.errors import UserError
from data_cache.base.locks import Locked
from reid.ablation.pace import Pace
from reid.ablation.plan import Plan, Run
from reid.ablation.results import TableResults, table_results
from reid.ablation.share import WHOLE, Share
from reid.ablation.table_files import write_table
from reid.ablation.workspace import RunState, Workspace
from reid.evaluation.evaluate import evaluate_run
from reid.evaluation.trained_run import TrainedRun
from reid.model.checkpoint import read_checkpoint
from reid.retrieval.scoring import Scoring
from reid.runs import decoded_path
from reid.training.train import train

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Ablation:
    """The plan for one data set, and the state of each run by its folder name."""

    workspace: Workspace
    plan: Plan
    states: dict[str, RunState]
    command: str

    def results(self) -> list[TableResults]:
        """Return the results of the finished runs, table by table."""
        return [
            table_results(table, self.plan, self.workspace, self.states, self.command) for table in self.plan.tables
        ]

    def update(self, run: Run) -> bool:
        """Read again how far a run has come, and return whether it is finished. Raises UserError as `load_ablation`."""
        self.states[run.folder] = self.workspace.state_of(run)
        return self.states[run.folder].metrics is not None

    def images_to_see(self, run: Run) -> int:
        """Return the number of augmented images that the epochs left of a run train on."""
        epochs = run.recipe.epochs - self.states[run.folder].epochs
        return self.workspace.training_set(run).images_per_epoch * epochs

    def stem(self, table: str) -> Path:
        """Return the path of a table's files without suffix; it names the test unless that is the default."""
        split = self.workspace.split
        is_default = split == self.workspace.dataset.default_split()
        return self.workspace.folder / (table if is_default else f"{table}-{split}")

    def write_tables(self, run: Run | None = None) -> None:
        """Write the current results of the tables that contain `run`, or of all tables."""
        for results in self.results():
            if run is None or any(row.run == run.name for row in results.rows):
                write_table(results, self.stem(results.table.name))


def load_ablation(workspace: Workspace, plan: Plan, command: str) -> Ablation:
    """Return the ablation with the state of all its runs.

    Raises UserError, naming the run, for anything that would stop a run hours later: a folder with another recipe or
    other data, an unsuitable part cache, too few vehicles for a batch.
    """
    states = {}
    for run in plan.runs:
        with _errors_name(run.title):
            workspace.require_boxes(run)
            workspace.training_set(run)
            states[run.folder] = workspace.state_of(run)
    return Ablation(workspace, plan, states, command)


def number_runs(ablations: Sequence[Ablation], share: Share = WHOLE) -> list[tuple[int, Ablation, Run]]:
    """Return the runs of a share with their numbers among all runs, from 1."""
    every = [(ablation, run) for ablation in ablations for run in ablation.plan.runs]
    return [(number, *step) for number, step in enumerate(every, start=1) if share.takes(number)]


def logged_pace(ablations: Sequence[Ablation]) -> Pace:
    """Return the pace of the finished runs by their logs, without the scoring of held-out vehicles and of the test."""
    pace = Pace()
    for _, ablation, run in number_runs(ablations):
        if ablation.states[run.folder].metrics is not None:
            images = ablation.workspace.training_set(run).images_per_epoch * run.recipe.epochs
            pace.add(images, ablation.workspace.training_seconds(run))
    return pace


def run_ablations(
    ablations: Sequence[Ablation], compute: Compute, *, decoded_cache: bool, share: Share = WHOLE
) -> bool:
    """Make every unfinished run of a share, and return whether all runs of all shares are finished.

    The tables are written before the first run and after each; those of a part only when all runs are finished, by the
    process that finishes last. A run that another process is making is left to it. Raises UserError, naming the run, if
    one fails. Finished runs are kept, and the next call makes the rest.
    """
    steps, count = number_runs(ablations, share), len(number_runs(ablations))
    if share.is_whole:
        _write_tables(ablations)
    earlier, pace = logged_pace(ablations), Pace()
    for position, (number, ablation, run) in enumerate(steps):
        suffix = f" on {ablation.workspace.dataset.name}" if len(ablations) > 1 else ""
        title = f"run {number} of {count}: {run.title}{suffix}"
        with _errors_name(title):
            if ablation.update(run):  # perhaps by another process, since this one has started
                log.info(f"{title}, finished")
                continue
            log.info(title)
            log.info(_remaining(steps[position:], pace if pace.images else earlier))
            started, images = monotonic(), ablation.images_to_see(run)
            try:
                _train_and_evaluate(ablation.workspace, run, compute, decoded_cache)
            except Locked:
                log.info(f"{title}: another process is making it; going on with the next run")
                continue
            pace.add(images, monotonic() - started)
            ablation.update(run)
        if share.is_whole:
            ablation.write_tables(run)
    return _finish(ablations, share)


def _remaining(steps: Sequence[tuple[int, Ablation, Run]], pace: Pace) -> str:
    """Return "2 runs left, 64 images to train on, about 4 min 12 s at the rate so far"."""
    left = [(ablation, run) for _, ablation, run in steps if ablation.states[run.folder].metrics is None]
    images = sum(ablation.images_to_see(run) for ablation, run in left)
    time_left = pace.time_for(images)
    rate = "" if time_left is None else f", about {time_left} at the rate so far"
    return f"{len(left)} {'run' if len(left) == 1 else 'runs'} left, {images:,} images to train on{rate}"


def _finish(ablations: Sequence[Ablation], share: Share) -> bool:
    """Return whether all runs are finished, also by other processes; log what is not, and write the tables that are."""
    steps = number_runs(ablations)
    unfinished = [number for number, ablation, run in steps if not ablation.update(run)]
    if share.is_whole or not unfinished:
        _write_tables(ablations)
    if unfinished:
        numbers = ", ".join(map(str, unfinished[:10])) + (", ..." if len(unfinished) > 10 else "")
        remedy = (
            "another process is making them; run the same command again for complete tables"
            if share.is_whole
            else "the share that finishes last writes the tables, or `ablate` without --only, which makes what is left"
        )
        log.info(f"{len(unfinished)} of {len(steps)} runs are not finished ({numbers}): {remedy}")
    return not unfinished


def _write_tables(ablations: Sequence[Ablation]) -> None:
    for ablation in ablations:
        ablation.write_tables()


def _train_and_evaluate(workspace: Workspace, run: Run, compute: Compute, decoded_cache: bool) -> None:
    dataset, boxes, folder = workspace.dataset, workspace.boxes_of(run), workspace.folder_of(run)
    recipe = run.recipe
    decoded = decoded_path(workspace.runs, dataset.name, recipe.input_size, recipe.hide) if decoded_cache else None
    best = train(run.recipe, dataset, boxes, folder, device=compute.device, workers=compute.workers, decoded=decoded)
    trained = TrainedRun(dataset, boxes, read_checkpoint(best), folder)
    evaluate_run(trained, [workspace.split], Scoring(), compute)


@contextmanager
def _errors_name(run: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"{run}: {error}") from error
