"""The command `ablate`: what the paper's tables compare, run by run."""

import json
import shlex
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from data_cache.base.options import (
    data_root_option,
    dataset_option,
    device_option,
    json_option,
    runs_option,
    set_option,
    workers_option,
)
from reid.commands.options import parts_option, split_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reid.ablation.running import Job


@click.command("ablate")
@click.option(
    "--table",
    "tables",
    type=click.Choice(["1", "2", "3", "5", "oracle"]),
    multiple=True,
    help="1: losses; 2: kinds of attention; 3: the paper's own four rows; 5: number of parts; oracle: whose boxes.",
)
@click.option("--figure", "figures", type=click.Choice(["3"]), multiple=True, help="3: dimension and lambda.")
@dataset_option
@data_root_option
@runs_option
@parts_option
@click.option(
    "--recipe",
    "scale",
    type=click.Choice(["small", "paper"]),
    default=None,
    help="Size of all networks; default: the paper's on a GPU, small on a CPU.",
)
@click.option(
    "--boxes",
    type=click.Choice(["detector", "truth", "rarest", "random", "shifted"]),
    default="detector",
    show_default=True,
    help="Whose boxes all rows look at: the part cache's, the renderer's true ones (the largest, or the rarest kinds "
    "first), or the part cache's put at random or shifted. The tables' names tell so.",
)
@set_option
@click.option("--seeds", type=click.IntRange(1, 100), default=3, show_default=True, help="Runs of each row: 0, 1, ...")
@split_option
@device_option
@workers_option
@click.option("--decoded-cache", is_flag=True, help="Keep the decoded images in RUNS/DATASET for all runs.")
@click.option("--dry-run", is_flag=True, help="List the runs and what is finished, and do nothing.")
@json_option
def ablate_command(
    device: str,
    workers: int,
    decoded_cache: bool,
    dry_run: bool,
    as_json: bool,
    **what: Any,
) -> None:
    """Train and evaluate every row of the paper's tables, or of its Figure 3; what is finished is not done again.

    Each run lies in RUNS/DATASET/ablation/NAME-seedN, and serves all rows that need it. After each one the tables are
    written there anew, beside the paper's figures: table-1.md, .csv and .png. Names tell of --set features, parts,
    triplets and lambda; for other options choose another --runs folder. Without --dataset, table 3 takes every data set
    that is there and has a part cache.

    \b
    Examples:
      python cli.py ablate --table 1 --dataset veri --dry-run
      python cli.py ablate --table 1 --table 2 --figure 3 --dataset veri --seeds 3
      python cli.py ablate --table oracle --dataset synthetic --set epochs=20
      python cli.py ablate --table 2 --dataset synthetic --boxes rarest
    """
    from data_cache.base.devices import choose_algorithms, choose_device, keep_freed_memory
    from reid.ablation.jobs import Request, jobs_of, listed, listing
    from reid.ablation.running import Conditions, run_all

    if not what["tables"] and not what["figures"]:
        raise click.UsageError("name what to run: --table 1, 2, 3, 5 or oracle, or --figure 3")
    keep_freed_memory()
    choose_algorithms(deterministic=False)
    device = choose_device(device)
    what["scale"] = what["scale"] or ("paper" if device == "cuda" else "small")
    context = click.get_current_context()
    everywhere = context.get_parameter_source("dataset") is ParameterSource.DEFAULT
    jobs = jobs_of(Request(**what, everywhere=everywhere, command=as_typed(context)))
    if dry_run:
        click.echo(json.dumps(listed(jobs), indent=2) if as_json else listing(jobs))
        return
    run_all(jobs, Conditions(device, workers, decoded_cache))
    _print(jobs, as_json)


def as_typed(context: click.Context) -> str:
    """Return the command with the options that were given, those of the environment too: to repeat it."""
    words: list[str] = []
    for option in context.command.params:
        name = option.name or ""
        if context.get_parameter_source(name) is ParameterSource.DEFAULT:
            continue
        value = context.params[name]
        if isinstance(value, bool):
            words.append(option.opts[0])
            continue
        for one in value if isinstance(value, tuple) else (value,):
            words += [option.opts[0], str(one)]
    return shlex.join(["python", "cli.py", str(context.info_name), *words])


def _print(jobs: "Sequence[Job]", as_json: bool) -> None:
    from reid.ablation.files import markdown

    if as_json:
        found = {job.place.dataset.name: {one.sheet.name: one.to_dict() for one in job.results()} for job in jobs}
        click.echo(json.dumps(found, indent=2))
        return
    for job in jobs:
        for results in job.results():
            click.echo(f"{markdown(results)}\n{job.stem(results.sheet.name)}.md, .csv, .png\n")
