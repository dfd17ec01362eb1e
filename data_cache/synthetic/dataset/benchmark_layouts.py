"""The layouts by name: the renderer's own, and those of VeRi-776, VehicleID, VRIC and VERI-Wild."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import count, groupby
from pathlib import PurePosixPath

from data_cache.synthetic.dataset.layout import ImageFile, Layout, encode_lines, files_of, nested_tests
from data_cache.synthetic.dataset.plan import Shot
from data_cache.synthetic.dataset.veri_layout import VERI
from data_cache.synthetic.design.bodies import BODIES
from data_cache.synthetic.design.traits import Vehicle

ListFiles = dict[str, bytes]
LISTS = "train_test_split"
VEHICLEID_TESTS = (800, 1600, 2400)  # in the names of the official lists, whatever their length here
VEHICLEID_COLOURS = ("black", "blue", "gray", "red", "silver", "white", "yellow")  # other colours are not listed
VRIC_NAMES = {"train": "train", "query": "probe", "gallery": "gallery"}  # split -> its name in files and folders
VERIWILD_TESTS = (3000, 5000, 10000)
VERIWILD_HEADER = "id/image;Camera ID;Time;Model;Type;Color"
START = datetime(2018, 3, 11, 10, 0, 0)


def _synthetic_images(shots: Sequence[Shot]) -> list[ImageFile]:
    return [ImageFile(shot, shot.name, shot.split) for shot in shots]


def _vehicleid_images(shots: Sequence[Shot]) -> list[ImageFile]:
    return [
        ImageFile(shot, f"image/{number:07d}.jpg", "train" if shot.split == "train" else "test")
        for number, shot in enumerate(shots, start=1)
    ]


def _vehicleid_lists(files: Sequence[ImageFile], vehicles: Mapping[int, Vehicle]) -> ListFiles:
    models = list(BODIES)
    model_lines = [f"{number} {models.index(vehicle.design.body.name)}" for number, vehicle in vehicles.items()]
    colours = {number: vehicle.design.colour.replace("grey", "gray") for number, vehicle in vehicles.items()}
    colour_lines = [
        f"{number} {VEHICLEID_COLOURS.index(name)}" for number, name in colours.items() if name in VEHICLEID_COLOURS
    ]
    return {
        f"{LISTS}/train_list.txt": _vehicleid_list(files_of(files, "train")),
        **{
            f"{LISTS}/test_list_{size}.txt": _vehicleid_list(tested)
            for size, tested in zip(VEHICLEID_TESTS, nested_tests(files), strict=True)
        },
        "attribute/img2vid.txt": _vehicleid_list(files),
        "attribute/model_attr.txt": encode_lines(model_lines),
        "attribute/color_attr.txt": encode_lines(colour_lines),
        "attribute/model_names.txt": encode_lines(f"{name} {number}" for number, name in enumerate(models)),
        "attribute/color_names.txt": encode_lines(f"{name} {number}" for number, name in enumerate(VEHICLEID_COLOURS)),
    }


def _vehicleid_list(files: Sequence[ImageFile]) -> bytes:
    """Return image and vehicle, one line per image."""
    return encode_lines(f"{PurePosixPath(file.name).stem} {file.shot.vehicle}" for file in files)


def _vric_images(shots: Sequence[Shot]) -> list[ImageFile]:
    numbers = {split: count(1) for split in VRIC_NAMES}
    return [
        ImageFile(shot, f"{VRIC_NAMES[split]}_images/{next(numbers[split]):07d}.jpg", split)
        for shot, split in _vric_splits(shots)
    ]


def _vric_splits(shots: Sequence[Shot]) -> Iterator[tuple[Shot, str]]:
    """Yield the shots used by VRIC with their splits: a test vehicle has one query and one gallery image."""
    for _, group in groupby(shots, key=lambda shot: shot.vehicle):
        own = list(group)
        if own[0].split == "train":
            yield from ((shot, "train") for shot in own)
            continue
        probe = next(shot for shot in own if shot.split == "query")
        yield probe, "query"
        yield next(shot for shot in own if shot.split == "gallery" and shot.camera != probe.camera), "gallery"


def _vric_lists(files: Sequence[ImageFile], vehicles: Mapping[int, Vehicle]) -> ListFiles:
    return {f"vric_{name}.txt": _vric_list(files_of(files, split)) for split, name in VRIC_NAMES.items()}


def _vric_list(files: Sequence[ImageFile]) -> bytes:
    """Return image, vehicle and camera, one line per image; vehicles are renumbered from 1 in each list."""
    labels = {vehicle: label for label, vehicle in enumerate(dict.fromkeys(file.shot.vehicle for file in files), 1)}
    return encode_lines(
        f"{PurePosixPath(file.name).name} {labels[file.shot.vehicle]} {file.shot.camera}" for file in files
    )


def _veriwild_images(shots: Sequence[Shot]) -> list[ImageFile]:
    files = []
    queried: set[int] = set()  # one query per vehicle
    for number, shot in enumerate(shots, start=1):
        split = "gallery" if shot.split == "query" and shot.vehicle in queried else shot.split
        if split == "query":
            queried.add(shot.vehicle)
        files.append(ImageFile(shot, f"images/{shot.vehicle:05d}/{number:06d}.jpg", split))
    return files


def _veriwild_lists(files: Sequence[ImageFile], vehicles: Mapping[int, Vehicle]) -> ListFiles:
    lists = {f"{LISTS}/train_list.txt": encode_lines(map(_veriwild_key, files_of(files, "train")))}
    for size, tested in zip(VERIWILD_TESTS, nested_tests(files), strict=True):
        # as in the released lists, the queries of a test are not in its gallery
        lists[f"{LISTS}/test_{size}.txt"] = encode_lines(map(_veriwild_key, files_of(tested, "gallery")))
        lists[f"{LISTS}/test_{size}_query.txt"] = encode_lines(map(_veriwild_key, files_of(tested, "query")))
    records = [_veriwild_record(file, vehicles[file.shot.vehicle]) for file in files]
    return {**lists, f"{LISTS}/vehicle_info.txt": encode_lines([VERIWILD_HEADER, *records])}


def _veriwild_key(file: ImageFile) -> str:
    return str(PurePosixPath(file.name).relative_to("images").with_suffix(""))


def _veriwild_record(file: ImageFile, vehicle: Vehicle) -> str:
    """Return a line of vehicle_info.txt; a vehicle starts every minute and takes a minute from camera to camera."""
    shot, design = file.shot, vehicle.design
    time = START + timedelta(minutes=shot.vehicle + shot.camera, seconds=shot.take)
    columns = (shot.camera, f"{time:%Y-%m-%d %H:%M:%S}", f"brand {design.logo + 1}", design.body.name, design.colour)
    return ";".join([_veriwild_key(file), *map(str, columns)])


SYNTHETIC = Layout("synthetic", ("synthetic",), _synthetic_images, lambda files, vehicles: {})  # images.csv is enough
LAYOUTS: dict[str, Layout] = {
    layout.dataset: layout
    for layout in (
        SYNTHETIC,
        VERI,
        Layout("vehicleid", ("VehicleID_V1.0", "PKU-VehicleID", "VehicleID"), _vehicleid_images, _vehicleid_lists),
        Layout("vric", ("VRIC",), _vric_images, _vric_lists),
        Layout("veriwild", ("VERI-Wild", "VERIWild"), _veriwild_images, _veriwild_lists),
    )
}
