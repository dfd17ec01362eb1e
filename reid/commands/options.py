"""Options of the commands on trained networks: which run, and so which data set."""

import logging
from collections.abc import Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from data_cache.base.config import SUFFIXES, recipe_label
from data_cache.base.errors import UserError
from data_cache.base.options import (
    DATASETS,
    DEFAULT_DATASET,
    FILE,
    Command,
    add_options,
    command_file,
    data_root_option,
    read_command,
    runs_option,
)
from data_cache.parts.names import CACHE_FILE
from reid import shipped
from reid.runs import ABLATION, chosen_run, dataset_folder, is_path, scored_folders, trained_runs

if TYPE_CHECKING:
    from reid.report.evaluated_run import EvaluatedRun

log = logging.getLogger(__name__)

RUN_HELP = "Run to use: its name (see `runs`), ablation/NAME, or the path of its folder; default: the newest."
LOCATION = ("dataset", "data_root", "runs")

parts_option = click.option(
    "--parts", "parts_file", type=FILE, default=None, help="Part cache; default: RUNS/DATASET/parts.h5."
)
split_option = click.option("--split", default=None, help="Test: small, medium, large or test; default: the largest.")


run_option = click.option(
    "--run",
    "--recipe",  # as up to version 0.3: a run is named after its recipe unless `train --name` names it
    "run",
    default=None,
    metavar="NAME|PATH",
    help=RUN_HELP,
)
dataset_of_run_option = click.option(
    "--dataset", default=None, envvar="DATASET", show_envvar=True, help=f"{DATASETS}  [default: the run's]"
)
_location_options = add_options(
    dataset_of_run_option,
    data_root_option,
    runs_option,
    run_option,
)


def folder_name(_context: click.Context, _option: click.Parameter, name: str | None) -> str | None:
    """Return the name of a run as given, None if it is not. Raises UsageError if it cannot name a folder in RUNS."""
    if name is not None and not is_folder_name(name):
        raise click.BadParameter(f"{name!r} cannot name a run; use letters, digits, - and _")
    return name


def is_folder_name(name: str) -> bool:
    """Return whether a run can be named so, and chosen by that name.

    >>> is_folder_name("osnet_x1.0"), is_folder_name(".."), is_folder_name("a/b"), is_folder_name("mine.yaml")
    (True, False, False, False)
    """
    path = Path(name)
    return (
        bool(name)
        and name == path.name != ".."
        and path.suffix not in SUFFIXES
        and name not in (ABLATION, CACHE_FILE, shipped.NAME)
    )


def run_options(command: Command) -> Command:
    """Add --dataset, --data-root, --runs and --run; what is not given is the run's own, by default the newest run's."""

    @wraps(command)
    def located(**options: Any) -> Any:
        location = _location(options)
        click.get_current_context().params |= location  # for `running_command`
        return command(**{**options, **location})

    return _location_options(located)  # type: ignore[return-value]


def _location(options: dict[str, Any]) -> dict[str, Any]:
    """Return `dataset`, `data_root` and `runs`, where not given those of the chosen run, or of its training."""
    given = click.get_current_context().get_parameter_source
    dataset, data_root, runs, run = (options[name] for name in (*LOCATION, "run"))
    by_path = run is not None and is_path(run)
    if by_path and given("runs") is ParameterSource.DEFAULT:
        runs = dataset_folder(Path(run)).parent
    if dataset is None and options.get("trained_on") is not None:
        raise click.UsageError("--trained-on needs --dataset, the data set to score")
    if dataset is None:
        folder = Path(run) if by_path else _newest(runs, run)
        made_by = {} if folder is None else read_command(command_file(folder)).get("options", {})
        dataset = made_by.get("--dataset") or (DEFAULT_DATASET if folder is None else dataset_folder(folder).name)
        if given("data_root") is ParameterSource.DEFAULT and "--data-root" in made_by:
            data_root = Path(made_by["--data-root"])
        if folder is not None and run is None:
            log.info(f"{folder}: the newest run; choose another with --run")
    return {"dataset": dataset, "data_root": data_root, "runs": runs}


def run_location(dataset: str | None, runs: Path, run: str) -> tuple[str, Path]:
    """Return the label of the data set and the runs folder of a run, for a command that reads no images."""
    from data_cache.datasets.catalogue import dataset_label

    location = _location({"dataset": dataset, "data_root": None, "runs": runs, "run": run})
    return dataset_label(location["dataset"]), location["runs"]


def _newest(runs: Path, run: str | None) -> Path | None:
    """Return the newest trained run, or the newest of a name, on any data set; features of others only without one."""
    folders = [*scored_folders(runs), *trained_runs(runs)]
    named = [folder for folder in folders if run is None or folder.name == recipe_label(run)]
    return named[-1] if named else None


# of `evaluated_runs`: the data set, the runs, and the test they were evaluated on
evaluated_runs_options = add_options(
    run_options,
    click.option("--compare", multiple=True, metavar="NAME|PATH", help="Another evaluated run; repeatable."),
    split_option,
    parts_option,
)


def scored_runs(runs: Path, dataset: str, names: Sequence[str | None]) -> list[Path]:
    """Return the folders of runs to compare, by names or paths. Raises UserError if one is missing or named twice."""
    folders = [chosen_run(runs, dataset, name, scored=True) for name in names]
    resolved = [folder.resolve() for folder in folders]
    twice = [folder for folder in folders if resolved.count(folder.resolve()) > 1]
    if twice:
        raise UserError(f"{twice[0]}: compared with itself; name another run")
    return folders


def evaluated_runs(
    dataset: str,
    data_root: Path,
    runs: Path,
    run: str | None,
    compare: Sequence[str],
    split: str | None,
    parts_file: Path | None,
) -> "list[EvaluatedRun]":
    """Return the run of --run, then those of --compare.

    Raises UserError if one is not evaluated on the test, or is named twice.
    """
    from data_cache.datasets.catalogue import load_dataset
    from reid.report.evaluated_run import read_evaluated_run

    loaded = load_dataset(dataset, data_root)
    folders = scored_runs(runs, loaded.name, (run, *compare))
    test = split or loaded.default_split()
    return [read_evaluated_run(folder, loaded, test, runs, parts_file) for folder in folders]
