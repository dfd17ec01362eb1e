"""The command `synth`."""

from pathlib import Path

import click
from click.core import ParameterSource

from data_cache.base.options import data_root_option, seed_option, workers_option

DEFAULT = ParameterSource.DEFAULT


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
@click.option(
    "--layout",
    type=click.Choice(["synthetic", "veri", "vehicleid", "vric", "veriwild"]),
    default="synthetic",
    show_default=True,
    help="The data set whose folders and list files to take; `--dataset` of that name reads it.",
)
@click.option(
    "--fixed",
    type=click.Choice(["fleets480"]),
    help="A set that results are told of, by name: its sizes and its seed are fixed.",
)
@click.option("--preview", is_flag=True, help="Also write preview.png, a contact sheet with part boxes.")
@seed_option
@workers_option
def synth(data_root: Path, layout: str, fixed: str | None, preview: bool, workers: int, **options: int) -> None:
    """Render the synthetic data set into DATA_ROOT/synthetic: near-identical vehicles with exact part boxes.

    With --layout the same vehicles lie in the folders of a public benchmark, with its list files, so that its reader
    and its protocol can be tried without it. The lists keep their official names (test_list_800.txt, test_3000.txt)
    though they name few vehicles: a third, two thirds and all that are for testing. What lies there already, and is not
    of this command, is never touched.

    \b
    Examples:
      python cli.py synth --preview
      python cli.py synth --vehicles 400 --images-per-camera 3 --seed 7 --data-root large
      python cli.py synth --layout vehicleid --data-root try
      python cli.py synth --fixed fleets480 --data-root fleets480
    """
    from data_cache.synthetic import FIXED, LAYOUTS, SyntheticSettings, write_preview, write_synthetic

    given = [name for name in options if click.get_current_context().get_parameter_source(name) is not DEFAULT]
    if fixed is not None and given:
        raise click.UsageError(f"--fixed {fixed} chooses --{given[0].replace('_', '-')} itself; leave one of them out")
    settings = SyntheticSettings(**options) if fixed is None else FIXED[fixed]
    chosen = LAYOUTS[layout]
    root = write_synthetic(settings, data_root / chosen.folders[0], workers=workers, layout=chosen)
    click.echo(root)
    if preview:
        click.echo(write_preview(root, root / "preview.png"))
