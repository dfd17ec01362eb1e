"""Which images a command is about: a folder, a list file, or the gallery of a data set's test."""

from pathlib import Path

from data_cache.base.errors import UserError
from data_cache.datasets.dataset import Dataset
from data_cache.datasets.lists import camera_number, read_image_list
from data_cache.images.loading import path_inside
from vehicle_reid.images import UNKNOWN_CAMERA, Folder, NamedImages, images_of_folder


def chosen_images(
    dataset: str, data_root: Path, folder: Path | None, listed: Path | None, split: str | None
) -> NamedImages:
    """Return the images of `folder`, of the list file, or of the gallery of a data set's test, whichever is given.

    Raises UserError where more than one is given, or none is found.
    """
    if sum(one is not None for one in (folder, listed, split)) > 1:
        raise UserError("--images, --list and --split: give one of them")
    if folder is not None:
        return images_of_folder(folder)
    if listed is not None:
        return images_of_list(listed)
    from data_cache.datasets.catalogue import load_dataset

    table = load_dataset(dataset, data_root)
    return images_of_test(table, split or table.default_split())


def images_of_list(path: Path) -> NamedImages:
    """Return the images of a list file, line `image` or `image camera`, with paths below the file's folder.

    Raises UserError, with the entry, for a name that leads out of it and for a camera that is no number.
    """
    found = read_image_list(path)
    if not found.entries:
        raise UserError(f"{path}: lists no image")
    cameras = [
        camera_number(fields[1], f"{path}, entry {number}") if len(fields) > 1 else UNKNOWN_CAMERA
        for number, fields in found.entries
    ]
    names = [fields[0] for _, fields in found.entries]
    return images_of_folder(path.parent, names).taken_by(cameras)


def images_of_test(dataset: Dataset, split: str) -> NamedImages:
    """Return the gallery of a data set's test, with its cameras; of VehicleID's the first drawn one."""
    rows = dataset.protocol(split, draws=1).trials[0].gallery
    table = dataset.table.iloc[rows]
    names = tuple(table["name"])
    sources = tuple(path_inside(dataset.root, name) for name in names)
    return NamedImages(names, sources, table["camera_id"].to_numpy("int64"), Folder(dataset.root, dataset.name))
