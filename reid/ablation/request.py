"""From what the user asks for to jobs: which tables on which data set, with all its runs and how far each has come."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_cache.base.errors import UserError
from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.dataset import Dataset
from reid.ablation.boxes import TRUTH, BoxKind, has_truth
from reid.ablation.paper import MEASURED_ON
from reid.ablation.place import TRUE, Place, chosen_split
from reid.ablation.plan import Scale, planned
from reid.ablation.running import Job, job_of
from reid.ablation.tables import sheets_for
from reid.runs import parts_path

log = logging.getLogger(__name__)

EVERYWHERE = "3"  # the table that is of all data sets
KNOWN = (*MEASURED_ON, "synthetic")


@dataclass(frozen=True)
class Request:
    """What is asked for: tables and figures by their keys, and what all their runs have in common.

    `boxes` tells whose boxes all rows look at that look at parts; `everywhere` takes table 3 to every data set that is
    there; `split` is the test, None for the largest; `parts_file` a part cache, None for each data set's own; `command`
    what was typed.
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
    everywhere: bool = False
    split: str | None = None
    parts_file: Path | None = None
    command: str = ""


@dataclass
class _Wanted:
    dataset: Dataset
    tables: list[str] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)


def jobs_of(request: Request) -> list[Job]:
    """Return a job for each data set. Raises UserError for what would end one of their runs later."""
    return [_job(request, wanted) for wanted in _wanted(request)]


def _wanted(request: Request) -> list[_Wanted]:
    """Return what is to be made on each data set, the named one first."""
    here = [key for key in request.tables if not (request.everywhere and key == EVERYWHERE)]
    wanted: dict[str, _Wanted] = {}
    if here or request.figures:
        named = load_dataset(request.dataset, request.data_root)
        wanted[named.name] = _Wanted(named, here, list(request.figures))
    if len(here) < len(request.tables):
        for dataset in _present(request):
            wanted.setdefault(dataset.name, _Wanted(dataset)).tables.append(EVERYWHERE)
    return list(wanted.values())


def _present(request: Request) -> list[Dataset]:
    """Return the data sets that are there and have a part cache; of the others it is said why they are left out."""
    if request.parts_file is not None:
        raise UserError("--parts: one part cache cannot serve several data sets; name one with --dataset")
    found = []
    for name in KNOWN:
        cache = parts_path(request.runs, name)
        try:
            dataset = load_dataset(name, request.data_root)
        except UserError as error:
            log.info(f"left out: {error}")
            continue
        if cache.is_file():
            found.append(dataset)
        else:
            log.info(
                f"left out: {name}: no part cache at {cache}; make it with `python cli.py detect --dataset {name}`"
            )
    if not found:
        raise UserError(f"table 3: no data set below {request.data_root} with a part cache below {request.runs}")
    return found


def _job(request: Request, wanted: _Wanted) -> Job:
    dataset = wanted.dataset
    sheets = sheets_for(wanted.tables, wanted.figures, dataset.name, request.boxes)
    if not has_truth(dataset):
        files = f"{' and '.join(TRUTH)} are not in {dataset.root}"
        if request.boxes in TRUE:
            raise UserError(f"--boxes {request.boxes}: no ground truth there: {files}")
        missing = f"No row for the boxes of the ground truth: {files}."
        sheets = [sheet.without(tuple(TRUE), missing) for sheet in sheets]
    plan = planned(sheets, request.scale, request.overrides, range(request.seeds))
    place = Place(dataset, request.runs, request.parts_file, chosen_split(dataset, request.split))
    return job_of(place, plan, request.command)


def listed(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Return every run as plain JSON values: how far it has come, and the images that it will see until it ends."""
    return [
        {
            "dataset": job.place.dataset.name,
            "run": run.name,
            "seed": run.recipe.seed,
            "folder": str(job.place.folder_of(run)),
            "epochs": run.recipe.epochs,
            "epochs_done": job.found[run.folder].epochs,
            "finished": job.found[run.folder].metrics is not None,
            "images_to_see": job.place.material(run).images_per_epoch
            * (run.recipe.epochs - job.found[run.folder].epochs),
        }
        for job in jobs
        for run in job.plan.runs
    ]


def listing(jobs: Sequence[Job]) -> str:
    """Return the list of runs as text, a line each, and their sum."""
    runs = listed(jobs)
    lines = [f"{number:3} {_told(run)}" for number, run in enumerate(runs, start=1)]
    finished, images = sum(run["finished"] for run in runs), sum(run["images_to_see"] for run in runs)
    return "\n".join([*lines, f"{len(runs)} runs, {finished} finished; {images:,} images to train on"])


def _told(run: dict[str, Any]) -> str:
    title = f"{run['dataset']}: {run['run']}, seed {run['seed']}"
    if run["finished"]:
        return f"{title}: finished"
    if run["epochs_done"] == run["epochs"]:
        return f"{title}: trained, to be evaluated"
    begun = f"after epoch {run['epochs_done']} of {run['epochs']}, " if run["epochs_done"] else ""
    return f"{title}: {begun}{run['images_to_see']:,} images"
