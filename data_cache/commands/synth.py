"""The command `synth`."""

from pathlib import Path
from typing import Any

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
    help="Mean number of cameras that see a vehicle.",
)
@click.option(
    "--images-per-camera", type=click.IntRange(1), default=2, show_default=True, help="Images of a vehicle per camera."
)
@click.option(
    "--fleet-size",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Vehicles that share body, trim and colour.",
)
@click.option("--image-size", type=int, default=200, show_default=True, help="Median image width in pixels.")
@click.option(
    "--variety",
    type=click.Choice(["fleets", "wide"]),
    default="fleets",
    show_default=True,
    help="fleets: look-alikes seen by road cameras, for re-identification. wide: more kinds of vehicles, viewpoints, "
    "places, weather and cameras, to train a part detector.",
)
@click.option(
    "--absent",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="Share of the test vehicles that the gallery lacks, so that the right answer to their queries is none.",
)
@click.option(
    "--layout",
    type=click.Choice(["synthetic", "veri", "vehicleid", "vric", "veriwild"]),
    default="synthetic",
    show_default=True,
    help="Data set whose folders and list files are imitated; read it with `--dataset` of that name.",
)
@click.option(
    "--fixed",
    type=click.Choice(["fleets480", "fleets480v2"]),
    help="A named set of published results, with fixed sizes and seed: 480 vehicles, at 200 or (v2) 420 pixels.",
)
@click.option("--preview", is_flag=True, help="Also write preview.png, a contact sheet with part boxes.")
@seed_option
@workers_option
def synth(data_root: Path, layout: str, fixed: str | None, preview: bool, workers: int, **options: Any) -> None:
    """Render the synthetic data set into DATA_ROOT/synthetic: near-identical vehicles with exact part boxes.

    --layout writes the same vehicles in the folders and list files of a public benchmark, so that its reader and
    protocol can be tried without it. The lists keep their official names (test_list_800.txt, test_3000.txt) but have
    fewer vehicles: a third, two thirds and all of the test vehicles. Existing files of other origin are never touched.

    \b
    Examples:
      python cli.py synth --preview
      python cli.py synth --vehicles 400 --images-per-camera 3 --seed 7 --data-root large
      python cli.py synth --variety wide --vehicles 2000 --fleet-size 1 --data-root varied
      python cli.py synth --absent 0.2 --data-root open
      python cli.py synth --layout vehicleid --data-root try
      python cli.py synth --fixed fleets480v2 --data-root data/fleets480v2
    """
    from data_cache.synthetic import FIXED, LAYOUTS, SyntheticSettings, write_preview, write_synthetic

    given = [name for name in options if click.get_current_context().get_parameter_source(name) is not DEFAULT]
    if fixed is not None and given:
        raise click.UsageError(f"--fixed {fixed} and --{given[0].replace('_', '-')} cannot be combined")
    if options["absent"] and layout != "synthetic":
        raise click.UsageError(f"--absent is for the layout synthetic; the lists of {layout} name matches for all")
    settings = SyntheticSettings(**options) if fixed is None else FIXED[fixed]
    chosen = LAYOUTS[layout]
    root = write_synthetic(settings, data_root / chosen.folders[0], workers=workers, layout=chosen)
    click.echo(root)
    if preview:
        click.echo(write_preview(root, root / "preview.png"))
