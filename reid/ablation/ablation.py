"""The ablation on one data set: unfinished runs are trained and evaluated, and the tables updated after each."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from data_cache.base.devices import Compute
from data_cache.base.errors import UserError
from reid.ablation.plan import Plan, Run
from reid.ablation.results import TableResults, table_results
from reid.ablation.table_files import write_table
from reid.ablation.workspace import RunState, Workspace
from reid.evaluation.evaluate import TrainedRun, evaluate_run
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


def run_ablations(ablations: Sequence[Ablation], compute: Compute, *, decoded_cache: bool) -> None:
    """Make every unfinished run; write the tables before the first run and after each.

    Raises UserError, naming the run, if one fails. Finished runs are kept, and the next call makes the rest.
    """
    steps = [(ablation, run) for ablation in ablations for run in ablation.plan.runs]
    for ablation in ablations:
        ablation.write_tables()
    for number, (ablation, run) in enumerate(steps, start=1):
        suffix = f" on {ablation.workspace.dataset.name}" if len(ablations) > 1 else ""
        title = f"run {number} of {len(steps)}: {run.title}{suffix}"
        if ablation.states[run.folder].metrics is not None:
            log.info(f"{title}, finished")
            continue
        log.info(title)
        with _errors_name(title):
            _train_and_evaluate(ablation.workspace, run, compute, decoded_cache)
            ablation.states[run.folder] = ablation.workspace.state_of(run)
        ablation.write_tables(run)


def _train_and_evaluate(workspace: Workspace, run: Run, compute: Compute, decoded_cache: bool) -> None:
    dataset, boxes, folder = workspace.dataset, workspace.boxes_of(run), workspace.folder_of(run)
    decoded = decoded_path(workspace.runs, dataset.name, run.recipe.image_size) if decoded_cache else None
    best = train(run.recipe, dataset, boxes, folder, device=compute.device, workers=compute.workers, decoded=decoded)
    trained = TrainedRun(dataset, boxes, read_checkpoint(best), folder)
    evaluate_run(trained, [workspace.split], Scoring(), compute)


@contextmanager
def _errors_name(run: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"{run}: {error}") from error
