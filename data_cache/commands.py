"""Commands of the data: `synth` and `check`."""

import json
from pathlib import Path

import click

from data_cache.options import data_root_option, dataset_option, json_option, seed_option, workers_option


@click.command("synth")
@data_root_option
@click.option("--vehicles", type=click.IntRange(2), default=150, show_default=True, help="Number of vehicles.")
@click.option("--cameras", type=click.IntRange(2), default=8, show_default=True, help="Number of cameras.")
@click.option(
    "--cameras-per-vehicle",
    type=click.IntRange(2),
    default=5,
    show_default=True,
    help="That see a vehicle, on average.",
)
@click.option("--images-per-camera", type=click.IntRange(1), default=2, show_default=True, help="Of each vehicle.")
@click.option(
    "--fleet-size",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Vehicles alike in body, trim and colour.",
)
@click.option("--image-size", type=int, default=200, show_default=True, help="Median image width in pixels.")
@click.option("--preview", is_flag=True, help="Also write preview.png, a contact sheet with part boxes.")
@seed_option
@workers_option
def synth(data_root: Path, preview: bool, workers: int, **options: int) -> None:
    """Render the synthetic data set into DATA_ROOT/synthetic: near-identical vehicles with exact part boxes.

    \b
    Examples:
      python cli.py synth --preview
      python cli.py synth --vehicles 400 --images-per-camera 3 --seed 7 --data-root large
    """
    from data_cache.synthetic import SyntheticSettings, write_preview, write_synthetic

    root = write_synthetic(SyntheticSettings(**options), data_root / "synthetic", workers=workers)
    click.echo(root)
    if preview:
        click.echo(write_preview(root, root / "preview.png"))


@click.command("check")
@dataset_option
@data_root_option
@json_option
def check(dataset: str, data_root: Path, as_json: bool) -> None:
    """Count a data set's images and vehicles, and look for what would spoil training or testing.

    \b
    Example:
      python cli.py check --dataset synthetic
    """
    from rich.console import Console
    from rich.table import Table

    from data_cache.datasets import faults, load_dataset, remarks
    from data_cache.errors import UserError

    found = load_dataset(dataset, data_root)
    groups = found.table.groupby("split")
    counts = {
        str(split): {
            "images": len(rows),
            "vehicles": rows["vehicle_id"].nunique(),
            "cameras": rows["camera_id"][rows["camera_id"] >= 0].nunique(),
        }
        for split, rows in groups
    }
    wrong = [*faults(found), *(f"{name} is missing" for name in found.names() if not found.path(name).is_file())]
    notes = remarks(found)
    if as_json:
        told = {"dataset": found.name, "root": str(found.root), "splits": counts, "remarks": notes, "faults": wrong}
        click.echo(json.dumps(told))
    else:
        table = Table("split", "images", "vehicles", "cameras", title=f"{found.name} in {found.root}")
        for split, row in counts.items():
            table.add_row(split, *(f"{value:,}" for value in row.values()))
        Console().print(table)
        for note in notes:
            click.echo(note)
    if wrong:
        raise UserError(
            f"{found.root}: {len(wrong)} {'fault' if len(wrong) == 1 else 'faults'}: " + "; ".join(wrong[:5])
        )
