"""From the options of `ablate` to ablations: which tables on which data sets, and a list of their runs."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_cache.base.errors import UserError
from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.dataset import Dataset
from reid.ablation.ablation import Ablation, load_ablation
from reid.ablation.boxes import TRUE_BOXES, TRUTH_FILES, BoxKind, has_truth
from reid.ablation.paper import MEASURED_ON
from reid.ablation.plan import Scale, plan_runs
from reid.ablation.tables import select_tables
from reid.ablation.workspace import Workspace
from reid.runs import parts_path

log = logging.getLogger(__name__)

MULTI_DATASET_TABLE = "3"
DATASETS = (*MEASURED_ON, "synthetic")


@dataclass(frozen=True)
class Request:
    """The options of `ablate`: keys of tables and figures, and the settings of all runs.

    `boxes` is the kind of boxes for all rows that use parts; `all_datasets` runs table 3 on every available data set;
    `split` is the test, None for the largest; `parts_file` a part cache, None for each data set's own; `command` is
    what the user typed.
    """

    tables: Sequence[str]
    figures: Sequence[str]
    dataset: str
    data_root: Path
    runs: Path
    scale: Scale
    boxes: BoxKind = "detector"
    overrides: Sequence[str] = ()
    seeds: int = 1
    all_datasets: bool = False
    split: str | None = None
    parts_file: Path | None = None
    command: str = ""


def load_ablations(request: Request) -> list[Ablation]:
    """Return one ablation per data set, the named one first. Raises UserError for what would stop a run later."""
    named = [key for key in request.tables if not (request.all_datasets and key == MULTI_DATASET_TABLE)]
    tables: dict[str, tuple[Dataset, list[str], Sequence[str]]] = {}
    if named or request.figures:
        dataset = load_dataset(request.dataset, request.data_root)
        tables[dataset.name] = (dataset, named, request.figures)
    if len(named) < len(request.tables):
        for dataset in _available_datasets(request):
            tables.setdefault(dataset.name, (dataset, [], ()))[1].append(MULTI_DATASET_TABLE)
    return [_load(request, *selected) for selected in tables.values()]


def _available_datasets(request: Request) -> list[Dataset]:
    """Return the data sets with a part cache; logs why the others are skipped."""
    if request.parts_file is not None:
        raise UserError("--parts: one part cache cannot serve several data sets; choose one with --dataset")
    found = []
    for name in DATASETS:
        cache = parts_path(request.runs, name)
        try:
            dataset = load_dataset(name, request.data_root)
        except UserError as error:
            log.info(f"skipped: {error}")
            continue
        if cache.is_file():
            found.append(dataset)
        else:
            log.info(f"skipped: {name}: no part cache at {cache}; run `python cli.py detect --dataset {name}`")
    if not found:
        raise UserError(f"table 3: no data set in {request.data_root} has a part cache in {request.runs}")
    return found


def _load(request: Request, dataset: Dataset, tables: Sequence[str], figures: Sequence[str]) -> Ablation:
    selected = select_tables(tables, figures, dataset.name, request.boxes)
    if not has_truth(dataset):
        missing = f"{dataset.root} lacks {' and '.join(TRUTH_FILES)}"
        if request.boxes in TRUE_BOXES:
            raise UserError(f"--boxes {request.boxes}: no ground truth: {missing}")
        selected = [table.without(tuple(TRUE_BOXES), f"No rows on true boxes: {missing}.") for table in selected]
    plan = plan_runs(selected, request.scale, request.overrides, range(request.seeds))
    split = request.split or dataset.default_split()
    dataset.protocol(split, draws=1)  # raises UserError for an unknown test
    return load_ablation(Workspace(dataset, request.runs, request.parts_file, split), plan, request.command)


def list_runs(ablations: Sequence[Ablation]) -> list[dict[str, Any]]:
    """Return every run as plain JSON values, with its finished epochs and the images still to train on."""
    return [
        {
            "dataset": ablation.workspace.dataset.name,
            "run": run.name,
            "seed": run.recipe.seed,
            "folder": str(ablation.workspace.folder_of(run)),
            "epochs": run.recipe.epochs,
            "epochs_done": state.epochs,
            "finished": state.metrics is not None,
            "images_to_see": ablation.workspace.training_set(run).images_per_epoch * (run.recipe.epochs - state.epochs),
        }
        for ablation in ablations
        for run in ablation.plan.runs
        for state in [ablation.states[run.folder]]
    ]


def format_runs(runs: Sequence[dict[str, Any]]) -> str:
    """Return `list_runs` as text, one line per run, and the totals."""
    lines = [f"{number:3} {_format_run(run)}" for number, run in enumerate(runs, start=1)]
    finished, images = sum(run["finished"] for run in runs), sum(run["images_to_see"] for run in runs)
    return "\n".join([*lines, f"{len(runs)} runs, {finished} finished; {images:,} images to train on"])


def _format_run(run: dict[str, Any]) -> str:
    title = f"{run['dataset']}: {run['run']}, seed {run['seed']}"
    if run["finished"]:
        return f"{title}: finished"
    if run["epochs_done"] == run["epochs"]:
        return f"{title}: trained, not evaluated"
    progress = f"after epoch {run['epochs_done']} of {run['epochs']}, " if run["epochs_done"] else ""
    return f"{title}: {progress}{run['images_to_see']:,} images"
