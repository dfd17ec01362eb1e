"""From the options of `ablate` to ablations: which tables on which data sets, and a list of their runs."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_cache.base.errors import UserError
from data_cache.base.options import remedy_command
from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.dataset import Dataset
from reid.ablation.ablation import Ablation, load_ablation, number_runs
from reid.ablation.boxes import TRUE_BOXES, TRUTH_FILES, BoxKind, has_truth
from reid.ablation.pace import Pace
from reid.ablation.paper import MEASURED_ON
from reid.ablation.plan import Scale, plan_runs
from reid.ablation.share import WHOLE, Share
from reid.ablation.tables import Table, select_tables
from reid.ablation.workspace import Workspace
from reid.runs import parts_path

log = logging.getLogger(__name__)

MULTI_DATASET_TABLE = "3"
DATASETS = (*MEASURED_ON, "synthetic")


def load_ablations(
    *,
    tables: Sequence[str],
    figures: Sequence[str],
    dataset: str,
    data_root: Path,
    runs: Path,
    scale: Scale,
    boxes: BoxKind,
    overrides: Sequence[str],
    seeds: int,
    split: str | None,
    parts_file: Path | None,
    all_datasets: bool,
    command: str,
) -> list[Ablation]:
    """Return one ablation per data set, the named one first, for the options of `ablate`.

    `tables` and `figures` are keys, `boxes` the kind for all rows that use parts; `all_datasets` runs table 3 on every
    available data set; `command` is what the user typed. Raises UserError for what would stop a run later.
    """
    if all_datasets and MULTI_DATASET_TABLE in tables and parts_file is not None:
        raise UserError("--parts: one part cache cannot serve several data sets; choose one with --dataset")
    named = [key for key in tables if not (all_datasets and key == MULTI_DATASET_TABLE)]
    selected: dict[str, tuple[Dataset, list[str], Sequence[str]]] = {}
    if named or figures:
        loaded = load_dataset(dataset, data_root)
        selected[loaded.name] = (loaded, named, figures)
    if len(named) < len(tables):
        for loaded in _available_datasets(runs, data_root):
            selected.setdefault(loaded.name, (loaded, [], ()))[1].append(MULTI_DATASET_TABLE)
    ablations = []
    for loaded, table_keys, figure_keys in selected.values():
        plan = plan_runs(_tables(loaded, table_keys, figure_keys, boxes), scale, loaded.name, overrides, range(seeds))
        test = split or loaded.default_split()
        loaded.protocol(test, draws=1)  # raises UserError for an unknown test
        ablations.append(load_ablation(Workspace(loaded, runs, parts_file, test), plan, command))
    return ablations


def _available_datasets(runs: Path, data_root: Path) -> list[Dataset]:
    """Return the data sets with a part cache; logs why the others are skipped."""
    found = []
    for name in DATASETS:
        cache = parts_path(runs, name)
        try:
            dataset = load_dataset(name, data_root)
        except UserError as error:
            log.info(f"skipped: {error}")
            continue
        if cache.is_file():
            found.append(dataset)
        else:
            log.info(f"skipped: {name}: no part cache at {cache}; run {remedy_command('detect', {'--dataset': name})}")
    if not found:
        raise UserError(f"table 3: no data set in {data_root} has a part cache in {runs}")
    return found


def _tables(dataset: Dataset, tables: Sequence[str], figures: Sequence[str], boxes: BoxKind) -> list[Table]:
    """Return the selected tables, without rows on true boxes if the data set has none."""
    selected = select_tables(tables, figures, dataset.name, boxes)
    if has_truth(dataset):
        return selected
    missing = f"{dataset.root} lacks {' and '.join(TRUTH_FILES)}"
    if boxes in TRUE_BOXES:
        raise UserError(f"--boxes {boxes}: no ground truth: {missing}")
    return [table.without(tuple(TRUE_BOXES), f"No rows on true boxes: {missing}.") for table in selected]


def list_runs(ablations: Sequence[Ablation], share: Share = WHOLE) -> list[dict[str, Any]]:
    """Return every run of a share as plain JSON values, with its finished epochs and the images still to train on."""
    return [
        {
            "number": number,
            "dataset": ablation.workspace.dataset.name,
            "run": run.name,
            "seed": run.recipe.seed,
            "folder": str(ablation.workspace.folder_of(run)),
            "epochs": run.recipe.epochs,
            "epochs_done": state.epochs,
            "finished": state.metrics is not None,
            "images_to_see": ablation.images_to_see(run),
        }
        for number, ablation, run in number_runs(ablations, share)
        for state in [ablation.states[run.folder]]
    ]


def format_runs(runs: Sequence[dict[str, Any]], pace: Pace) -> str:
    """Return `list_runs` as text, one line per run, and the totals; `pace` is that of the finished runs."""
    lines = [f"{run['number']:3} {_format_run(run)}" for run in runs]
    finished, images = sum(run["finished"] for run in runs), sum(run["images_to_see"] for run in runs)
    time_left = pace.time_for(images) if images else None
    rate = "" if time_left is None else f", about {time_left} at the rate of the finished runs"
    return "\n".join([*lines, f"{len(runs)} runs, {finished} finished; {images:,} images to train on{rate}"])


def _format_run(run: dict[str, Any]) -> str:
    title = f"{run['dataset']}: {run['run']}, seed {run['seed']}"
    if run["finished"]:
        return f"{title}: finished"
    if run["epochs_done"] == run["epochs"]:
        return f"{title}: trained, not evaluated"
    progress = f"after epoch {run['epochs_done']} of {run['epochs']}, " if run["epochs_done"] else ""
    return f"{title}: {progress}{run['images_to_see']:,} images"
