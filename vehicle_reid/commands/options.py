"""Options of the commands on galleries, and the model, gallery file and images that they select."""

import glob
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data_cache.base.options import (
    FILE,
    FOLDER,
    add_options,
    device_option,
    workers_option,
)
from detect.commands.options import detector_option
from reid import shipped
from reid.commands.options import parts_option, run_options

if TYPE_CHECKING:
    import pandas as pd

    from data_cache.datasets.dataset import Dataset
    from vehicle_reid.model import VehicleReID

log = logging.getLogger(__name__)

GALLERY = "gallery"
OLD_GALLERY = "gallery.safetensors"  # of versions before 0.6

model_options = add_options(
    run_options,
    click.option(
        "--gallery",
        "address",
        default=None,
        metavar="FOLDER|ADDRESS",
        help="Folder of the gallery, or the address of a bucket (s3://...) or of a Milvus collection "
        f"(http://HOST:PORT/COLLECTION); default: {GALLERY} in the run's folder.",
    ),
    detector_option("the run's own, which made its part cache"),
    click.option("--flip-test", is_flag=True, help="Features are means over image and mirror image."),
    device_option,
)
images_options = add_options(
    click.option("--images", "folder", type=FOLDER, default=None, help="Folder of images."),
    click.option("--list", "listed", type=FILE, default=None, help="File with lines `image` or `image camera`."),
    click.option("--split", default=None, help="Test whose gallery is embedded; default: the largest."),
    parts_option,
    click.option("--camera", type=click.IntRange(0), default=None, help="Camera id of all images."),
    click.option(
        "--details",
        type=FILE,
        default=None,
        help="CSV with a row an image: its name, and vehicle, time (ISO 8601) or any other columns to search by.",
    ),
    click.option("--skip-unreadable", is_flag=True, help="Skip images that cannot be read, with a warning."),
    workers_option,
)


def selected_model(options: dict[str, Any]) -> "tuple[VehicleReID, str]":
    """Return the model and the gallery's address of `model_options`, and remove these options except the data set."""
    from vehicle_reid.model import VehicleReID

    run = _selected_run(options, options.pop("run"))
    chosen = {name: options.pop(name) for name in ("detector", "device", "flip_test")}
    model = VehicleReID.load(run, **chosen)
    return model, options.pop("address") or str(run / GALLERY)


def _selected_run(options: dict[str, Any], run: str | None) -> Path:
    """Return the folder of a run as `chosen_run` does, or of the shipped network where none was trained."""
    from data_cache.datasets.catalogue import dataset_label
    from reid.publish.shipped_import import import_shipped
    from reid.runs import chosen_run, trained_runs

    runs, dataset = options["runs"], dataset_label(options["dataset"])
    trained = [folder.name for folder in trained_runs(runs, glob.escape(dataset)) if folder.name != shipped.NAME]
    if run != shipped.NAME and (run is not None or trained):
        return chosen_run(runs, dataset, run)
    if run is None:
        log.info(f"nothing is trained on {dataset}: using the shipped network, which knows other vehicles and cameras")
    location = {"--dataset": options["dataset"], "--runs": str(runs)}
    command = {"command": "import-weights", "options": {"--shipped": True, **location}}
    return import_shipped(runs, dataset, command)[0]


def gallery_of_folder(default: str, folder: Path) -> str:
    """Return the gallery of a folder of images: its own beside the default one, or that if it has these images.

    Its own is gallery-FOLDER-HASH with a hash of the path, so that folders of one name never share a gallery.
    """
    from data_cache.base.files import sha256_of_bytes
    from vehicle_reid.gallery.filters import Filter
    from vehicle_reid.gallery.stores import gallery_exists, store_at
    from vehicle_reid.images import missing_images

    whole = folder.resolve()
    digest = sha256_of_bytes(bytes(whole))[:8]
    own = f"{default}-{whole.name[:40]}-{digest}"
    if gallery_exists(own) or not gallery_exists(default):
        return own
    names = store_at(default).open(default, None).read(["name"], Filter(files=True))["name"].tolist()
    missing, looked_up = missing_images(folder, names)  # `gallery build --images` may have made it
    return default if looked_up and not missing else own


def add_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `Gallery.add` for `images_options`: of a folder, a list, or a data set's test.

    The images of a data set come with its part cache, and with vehicle and time as far as it knows them. Raises
    UserError if several are given, or there are no images.
    """
    from data_cache.base.errors import UserError
    from data_cache.datasets.catalogue import load_dataset
    from data_cache.parts.cache import read_parts
    from reid.runs import parts_path
    from vehicle_reid.images import images_of_folder, images_of_list, images_of_split

    folder, listed, split, cache = (options[name] for name in ("folder", "listed", "split", "parts_file"))
    if sum(option is not None for option in (folder, listed, split)) > 1:
        raise UserError("--images, --list and --split cannot be combined")
    details = None if options["details"] is None else details_of(options["details"])
    if folder is not None:
        images = images_of_folder(folder)
    elif listed is not None:
        images = images_of_list(listed)
    else:
        data = load_dataset(options["dataset"], options["data_root"])
        images = images_of_split(data, split or data.default_split())
        default = parts_path(options["runs"], data.name)
        cache = default if cache is None and default.exists() else cache
        details = details_of_dataset(data) if details is None else details
    return {
        "images": images.with_cameras(options["camera"]),
        "details": details,
        "parts": None if cache is None else read_parts(cache),
        "workers": options["workers"],
        "skip_unreadable": options["skip_unreadable"],
    }


def details_of(path: Path) -> "pd.DataFrame":
    """Return the details of images in a CSV, by name. Raises UserError if it has no names, or one twice."""
    from data_cache.base.errors import UserError
    from data_cache.datasets.csv_file import parse_csv

    table = parse_csv(path)
    if "name" not in table:
        raise UserError(f"{path}: column name is missing; it has {', '.join(map(str, table.columns))}")
    twice = table["name"][table["name"].duplicated()]
    if len(twice):
        raise UserError(f"{path}: {len(twice)} images are listed twice, first {twice.iloc[0]}")
    return table.set_index("name")


def details_of_dataset(data: "Dataset") -> "pd.DataFrame":
    """Return vehicle and time of the images of a data set, by name, "" where they are not known."""
    from data_cache.datasets.dataset import is_unknown

    table = data.table.set_index("name")
    vehicle = table["vehicle_id"].astype(str)
    known = table[["time"]].astype(str) if "time" in table else table[[]]
    return known.assign(vehicle=vehicle.where(~vehicle.map(is_unknown), ""))
