"""The command `ablate`: the comparisons of the paper's tables and Figure 3."""

import json
from collections.abc import Sequence
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
    from reid.ablation.ablation import Ablation
    from reid.ablation.share import Share


def _share(_context: click.Context, _option: click.Parameter, text: str | None) -> "Share":
    """Return the share of --only, by default the whole. Raises UsageError if it is none."""
    from reid.ablation.share import WHOLE, parse_share

    try:
        return WHOLE if text is None else parse_share(text)
    except ValueError as error:
        raise click.BadParameter("write it as I/N with I from 1 to N, such as 1/4") from error


@click.command("ablate")
@click.option(
    "--table",
    "tables",
    type=click.Choice(["1", "2", "3", "5", "oracle", "plus"]),
    multiple=True,
    help="1: losses; 2: kinds of attention; 3: the paper's own four rows; 5: number of parts; oracle: kinds of boxes; "
    "plus: PGAN+ and its controls.",
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
    help="Size of all networks; default: paper on a GPU, small on a CPU.",
)
@click.option(
    "--boxes",
    type=click.Choice(["detector", "truth", "rarest", "random", "shifted"]),
    default="detector",
    show_default=True,
    help="Boxes of all rows that use parts. detector: from the part cache; truth: true boxes, the largest first; "
    "rarest: true boxes, the rarest kinds first; random, shifted: the part cache's boxes, at random positions or "
    "shifted. The names of the tables include the kind.",
)
@set_option
@click.option(
    "--seeds", type=click.IntRange(1, 100), default=3, show_default=True, help="Runs per row: seeds 0, 1, ..."
)
@split_option
@device_option
@workers_option
@click.option("--decoded-cache", is_flag=True, help="Keep the decoded images in RUNS/DATASET for all runs.")
@click.option(
    "--only",
    "share",
    metavar="I/N",
    callback=_share,
    help="Make only the I-th share of N, for N processes at once, such as one per GPU: of the runs that --dry-run "
    "lists, those with the numbers I, I + N, I + 2 N and so on. The process that finishes last writes the tables.",
)
@click.option("--dry-run", is_flag=True, help="List the runs and their progress, without running them.")
@json_option
def ablate_command(
    device: str,
    workers: int,
    decoded_cache: bool,
    share: "Share",
    dry_run: bool,
    as_json: bool,
    **selection: Any,
) -> None:
    """Train and evaluate every row of the paper's tables, or of its Figure 3; finished runs are kept.

    Each run is stored in RUNS/DATASET/ablation/NAME-seedN and shared by all rows that need it. After each run the
    tables are updated there, beside the paper's scores: table-1.md, .csv and .png. Names include --set features, parts,
    triplets and lambda; for other options choose another --runs folder. Without --dataset, table 3 uses every data set
    that has a part cache.

    Several processes may work on one ablation: no run is trained twice, and a run that another process is making is
    left to it. With --only each has a share of its own. A killed share resumes when run again.

    \b
    Examples:
      python cli.py ablate --table 1 --dataset veri --dry-run
      python cli.py ablate --table 1 --table 2 --figure 3 --dataset veri --seeds 3
      python cli.py ablate --table oracle --dataset synthetic --set epochs=20
      python cli.py ablate --table 2 --dataset synthetic --boxes rarest
      CUDA_VISIBLE_DEVICES=0 python cli.py ablate --only 1/4 --table 1 --dataset veri
      CUDA_VISIBLE_DEVICES=1 python cli.py ablate --only 2/4 --table 1 --dataset veri
    """
    from data_cache.base.devices import Compute, choose_algorithms, choose_device, keep_freed_memory
    from data_cache.base.options import command_line, running_command
    from reid.ablation.ablation import logged_pace, run_ablations
    from reid.ablation.request import format_runs, list_runs, load_ablations

    if not selection["tables"] and not selection["figures"]:
        raise click.UsageError("choose what to run: --table 1, 2, 3, 5, oracle or plus, or --figure 3")
    keep_freed_memory()
    choose_algorithms(deterministic=False)
    device = choose_device(device)
    selection["scale"] = selection["scale"] or ("paper" if device == "cuda" else "small")
    all_datasets = click.get_current_context().get_parameter_source("dataset") is ParameterSource.DEFAULT
    options = {name: value for name, value in running_command()["options"].items() if name != "--only"}
    command = command_line("ablate", options)  # in the tables, which are those of all shares
    ablations = load_ablations(**selection, all_datasets=all_datasets, command=command)
    if dry_run:
        runs = list_runs(ablations, share)
        click.echo(json.dumps(runs, indent=2) if as_json else format_runs(runs, logged_pace(ablations)))
        return
    finished = run_ablations(ablations, Compute(device, workers), decoded_cache=decoded_cache, share=share)
    if finished or share.is_whole or as_json:
        _print_tables(ablations, as_json)


def _print_tables(ablations: "Sequence[Ablation]", as_json: bool) -> None:
    from reid.ablation.table_files import as_markdown

    if as_json:
        tables = {
            ablation.workspace.dataset.name: {results.table.name: results.to_dict() for results in ablation.results()}
            for ablation in ablations
        }
        click.echo(json.dumps(tables, indent=2))
        return
    for ablation in ablations:
        for results in ablation.results():
            click.echo(f"{as_markdown(results)}\n{ablation.stem(results.table.name)}.md, .csv, .png\n")
