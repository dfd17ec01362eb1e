"""The command `train`."""

from pathlib import Path

import click

from data_cache.base.options import (
    data_root_option,
    dataset_option,
    device_option,
    recipe_option,
    recipe_seed_option,
    running_command,
    runs_option,
    set_option,
    show_recipe_option,
    workers_option,
)
from reid.commands.options import folder_name, is_folder_name, parts_option

RECIPES = (
    "pgan, pgan_no_pam, grid, baseline (the paper's settings), pgan_plus, strong, each also with _small for a CPU; demo"
)


@click.command("train")
@dataset_option
@data_root_option
@runs_option
@recipe_option(None, f"{RECIPES}; or a YAML file. Default: pgan on a GPU, pgan_small on a CPU.")
@click.option(
    "--name", callback=folder_name, help="Name of the run, its folder in RUNS/DATASET; default: the recipe's name."
)
@set_option
@show_recipe_option
@parts_option
@recipe_seed_option
@device_option
@workers_option
@click.option("--compile", "compiled", is_flag=True, help="Use torch.compile: slower at the start, faster afterwards.")
@click.option(
    "--deterministic", is_flag=True, help="Make GPU runs reproducible to the bit, but slower; CPU runs always are."
)
@click.option("--tensorboard", is_flag=True, help="Also write TensorBoard files, to tensorboard in the run's folder.")
@click.option(
    "--decoded-cache", is_flag=True, help="Keep decoded images in RUNS/DATASET: faster if decoding is the bottleneck."
)
def train_command(
    dataset: str,
    data_root: Path,
    runs: Path,
    recipe: str | None,
    name: str | None,
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
    """Train the network on the cached part boxes; an interrupted training resumes.

    Results and a log with times go to RUNS/DATASET/NAME; `clean` removes what a finished run no longer needs.

    With torchrun, several GPUs share every batch; the losses and gradients are those of a single GPU.

    \b
    Examples:
      python cli.py train --dataset veri
      python cli.py train --dataset vehicleid --set trunk_weights=resnet50.pth
      python cli.py train --dataset veri --name varied --set parts_per_label=2
      python cli.py train --dataset veri --recipe pgan --show-recipe > mine.yaml
      torchrun --nproc-per-node=4 cli.py train --dataset veriwild --compile
    """
    from data_cache.base.config import recipe_text
    from data_cache.base.devices import choose_algorithms, choose_device, keep_freed_memory
    from data_cache.base.progress import is_first_rank
    from data_cache.datasets.catalogue import dataset_label, load_dataset
    from reid.data.vehicle_images import part_cache
    from reid.distributed import first_rank_first, joined_ranks
    from reid.recipes import default_recipe, recipe_for
    from reid.runs import decoded_path, run_folder
    from reid.training.train import train

    keep_freed_memory()
    choose_algorithms(deterministic=deterministic)
    device = choose_device(device)
    recipe = recipe or default_recipe(device)
    options = [*overrides, *([] if seed is None else [f"seed={seed}"])]
    label = dataset_label(dataset)
    if show_recipe:
        click.echo(recipe_text(recipe_for(label, recipe, options), f"{recipe} on {label}"), nl=False)
        return
    folder = run_folder(runs, label, name or recipe)
    if not is_folder_name(folder.name):
        raise click.UsageError(f"--recipe {recipe}: {folder.name} cannot name a run; give it another name by --name")
    with joined_ranks(device):
        with first_rank_first():
            settings = recipe_for(label, recipe, options)
            loaded = load_dataset(dataset, data_root)
            loaded.require_training_images()
            parts = part_cache(loaded, settings, runs, parts_file)
        best = train(
            settings,
            loaded,
            parts,
            folder,
            device=device,
            workers=workers,
            compiled=compiled,
            tensorboard=tensorboard,
            command=running_command({"--recipe": recipe}),
            decoded=(decoded_path(runs, loaded.name, settings.input_size, settings.hide) if decoded_cache else None),
        )
    if is_first_rank():
        click.echo(best)
