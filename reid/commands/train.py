"""The command `train`."""

from pathlib import Path

import click

from data_cache.base.options import (
    data_root_option,
    dataset_option,
    device_option,
    recipe_option,
    recipe_seed_option,
    runs_option,
    set_option,
    show_recipe_option,
    workers_option,
)
from reid.commands.options import parts_option
from reid.runs import part_cache

RECIPES = "pgan, pgan_no_pam, grid, baseline (the paper's size), each with _small for a CPU, and demo"


@click.command("train")
@dataset_option
@data_root_option
@runs_option
@recipe_option(None, f"{RECIPES}; or a YAML file. Default: pgan on a GPU, pgan_small on a CPU.")
@set_option
@show_recipe_option
@parts_option
@recipe_seed_option
@device_option
@workers_option
@click.option(
    "--compile", "compiled", is_flag=True, help="Run the network by torch.compile: a slow start, then faster."
)
@click.option(
    "--deterministic", is_flag=True, help="The same bits from every run on a GPU, slower; a CPU gives them anyway."
)
@click.option("--tensorboard", is_flag=True, help="Write TensorBoard's files too, to RUNS/DATASET/RECIPE/tensorboard.")
@click.option(
    "--decoded-cache", is_flag=True, help="Keep the decoded images in RUNS/DATASET: faster where decoding is slow."
)
def train_command(
    dataset: str,
    data_root: Path,
    runs: Path,
    recipe: str | None,
    overrides: tuple[str, ...],
    show_recipe: bool,
    parts_file: Path | None,
    seed: int | None,
    device: str,
    workers: int,
    compiled: bool,
    deterministic: bool,
    tensorboard: bool,
    decoded_cache: bool,
) -> None:
    """Train the network on the cached part boxes; a stopped training goes on where it was.

    Several GPUs share every batch by torchrun; two of them give the losses and gradients of one.

    \b
    Examples:
      python cli.py train --dataset veri
      python cli.py train --dataset vehicleid --set lambda=1 --set trunk_weights=resnet50.pth
      python cli.py train --dataset veri --set triplets=[fusion,part] --runs runs/two --parts runs/veri/parts.h5
      python cli.py train --recipe pgan --show-recipe > mine.yaml
      torchrun --nproc-per-node=4 cli.py train --dataset veriwild --compile
    """
    from data_cache.base.config import recipe_text, resolve_recipe
    from data_cache.base.devices import choose_algorithms, choose_device, keep_freed_memory
    from data_cache.base.progress import is_first_rank
    from data_cache.datasets.catalogue import load_dataset
    from reid.data.decoded import decoded_path
    from reid.distributed import first_rank_first, joined_ranks
    from reid.recipes import PRESETS, ReidRecipe, default_recipe
    from reid.runs import run_folder
    from reid.training.train import train

    keep_freed_memory()
    choose_algorithms(deterministic=deterministic)
    device = choose_device(device)
    name, seeds = recipe or default_recipe(device), [] if seed is None else [f"seed={seed}"]
    if show_recipe:
        click.echo(recipe_text(resolve_recipe(ReidRecipe, PRESETS, name, [*overrides, *seeds]), name), nl=False)
        return
    with joined_ranks(device):
        with first_rank_first():
            settings = resolve_recipe(ReidRecipe, PRESETS, name, [*overrides, *seeds])
            table = load_dataset(dataset, data_root)
            boxes = part_cache(table, settings, runs, parts_file)
        run = run_folder(runs, table.name, name)
        how = {"compiled": compiled, "tensorboard": tensorboard}
        decoded = decoded_path(runs, table.name, settings.image_size) if decoded_cache else None
        best = train(settings, table, boxes, run, device=device, workers=workers, decoded=decoded, **how)
    if is_first_rank():
        click.echo(best)
