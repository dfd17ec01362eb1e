"""Commands of the data: `synth`, `check`, and `cache verify`."""

import json
from pathlib import Path

import click

from data_cache.options import FILE, data_root_option, dataset_option, json_option, seed_option, workers_option


@click.command("synth")
@data_root_option
@click.option("--vehicles", type=click.IntRange(4), default=None, help="Number of vehicles.")
@click.option("--cameras", type=click.IntRange(2), default=None, help="Number of cameras.")
@click.option("--images", "images_per_vehicle", type=click.IntRange(2), default=None, help="Images of each vehicle.")
@click.option("--size", "image_size", type=click.IntRange(64, 800), default=None, help="Median image width in pixels.")
@click.option("--preview", is_flag=True, help="Also write preview.png, a contact sheet.")
@seed_option
@workers_option
def synth(
    data_root: Path,
    vehicles: int | None,
    cameras: int | None,
    images_per_vehicle: int | None,
    image_size: int | None,
    preview: bool,
    seed: int,
    workers: int,
) -> None:
    """Render the synthetic data set into DATA_ROOT/synthetic: near-identical vehicles with exact part boxes.

    \b
    Examples:
      python cli.py synth --preview
      python cli.py synth --vehicles 400 --images 12 --seed 7 --data-root /tmp/large
    """
    from data_cache.synthetic import SyntheticSettings, write_preview, write_synthetic

    given = {
        "vehicles": vehicles,
        "cameras": cameras,
        "images_per_vehicle": images_per_vehicle,
        "image_size": image_size,
    }
    settings = SyntheticSettings(seed=seed, **{name: value for name, value in given.items() if value is not None})
    root = write_synthetic(settings, data_root / "synthetic", workers=workers)
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

    from data_cache.datasets import faults, load_dataset
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
    if as_json:
        click.echo(json.dumps({"dataset": found.name, "root": str(found.root), "splits": counts, "faults": wrong}))
    else:
        table = Table("split", "images", "vehicles", "cameras", title=f"{found.name} in {found.root}")
        for split, row in counts.items():
            table.add_row(split, *(f"{value:,}" for value in row.values()))
        Console().print(table)
    if wrong:
        raise UserError(f"{found.root}: {len(wrong)} faults: " + "; ".join(wrong[:5]))


@click.group("cache")
def cache() -> None:
    """Look after part caches."""


@cache.command("verify")
@click.argument("path", type=FILE)
def cache_verify(path: Path) -> None:
    """Read a part cache, checksums and ranges included, and count what it holds.

    \b
    Example:
      python cli.py cache verify runs/synthetic/parts.h5
    """
    from data_cache.parts import STATUS_EMPTY, STATUS_FAILED, read_parts

    parts = read_parts(path)
    empty, failed = ((parts.status == status).sum() for status in (STATUS_EMPTY, STATUS_FAILED))
    click.echo(
        f"{path}: sound; {len(parts.names)} images, {(parts.labels >= 0).sum()} parts, {empty} empty, {failed} failed"
    )
