"""The trees in which synthetic vehicles can be written: the renderer's own, and those of the public benchmarks."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import count, groupby
from pathlib import PurePosixPath

from data_cache.synthetic.dataset.placing import Layout, Place, list_file, nested_tests, used_as
from data_cache.synthetic.dataset.plan import Shot
from data_cache.synthetic.dataset.veri_layout import VERI
from data_cache.synthetic.design.bodies import BODIES
from data_cache.synthetic.design.fleet import Vehicle

Lists = dict[str, bytes]
LISTS = "train_test_split"
VEHICLEID_TESTS = (800, 1600, 2400)  # in the names of the official lists, whatever they hold here
VEHICLEID_COLOURS = ("black", "blue", "gray", "red", "silver", "white", "yellow")  # from 0; others are not told
VRIC_PARTS = {"train": "train", "query": "probe", "gallery": "gallery"}  # split -> as the files are named
VERIWILD_TESTS = (3000, 5000, 10000)
VERIWILD_HEADER = "id/image;Camera ID;Time;Model;Type;Color"
START = datetime(2018, 3, 11, 10, 0, 0)


def _place_synthetic(shots: Sequence[Shot]) -> list[Place]:
    return [Place(shot, shot.name, shot.split) for shot in shots]


def _list_synthetic(places: Sequence[Place], vehicles: Mapping[int, Vehicle]) -> Lists:
    return {}  # images.csv, which every layout has, tells all


def _place_vehicleid(shots: Sequence[Shot]) -> list[Place]:
    return [
        Place(shot, f"image/{number:07d}.jpg", "train" if shot.split == "train" else "test")
        for number, shot in enumerate(shots, start=1)
    ]


def _list_vehicleid(places: Sequence[Place], vehicles: Mapping[int, Vehicle]) -> Lists:
    colours = {number: vehicle.design.colour.replace("grey", "gray") for number, vehicle in vehicles.items()}
    known = {number: VEHICLEID_COLOURS.index(name) for number, name in colours.items() if name in VEHICLEID_COLOURS}
    models = list(BODIES)
    model_of = {number: models.index(vehicle.design.body.name) for number, vehicle in vehicles.items()}
    return {
        f"{LISTS}/train_list.txt": _images_and_vehicles(used_as(places, "train")),
        **{
            f"{LISTS}/test_list_{size}.txt": _images_and_vehicles(tested)
            for size, tested in zip(VEHICLEID_TESTS, nested_tests(places), strict=True)
        },
        "attribute/img2vid.txt": _images_and_vehicles(places),
        "attribute/model_attr.txt": list_file(f"{vehicle} {model}" for vehicle, model in model_of.items()),
        "attribute/color_attr.txt": list_file(f"{vehicle} {colour}" for vehicle, colour in known.items()),
        "attribute/model_names.txt": list_file(f"{name} {number}" for number, name in enumerate(models)),
        "attribute/color_names.txt": list_file(f"{name} {number}" for number, name in enumerate(VEHICLEID_COLOURS)),
    }


def _images_and_vehicles(places: Sequence[Place]) -> bytes:
    return list_file(f"{PurePosixPath(place.name).stem} {place.shot.vehicle}" for place in places)


def _place_vric(shots: Sequence[Shot]) -> list[Place]:
    numbers = {split: count(1) for split in VRIC_PARTS}
    return [
        Place(shot, f"{VRIC_PARTS[split]}_images/{next(numbers[split]):07d}.jpg", split)
        for shot, split in _choose_vric(shots)
    ]


def _choose_vric(shots: Sequence[Shot]) -> Iterator[tuple[Shot, str]]:
    """Yield the shots that VRIC has with their splits: of a test vehicle two, by different cameras."""
    for _, group in groupby(shots, key=lambda shot: shot.vehicle):
        own = list(group)
        if own[0].split == "train":
            yield from ((shot, "train") for shot in own)
            continue
        probe = next(shot for shot in own if shot.split == "query")
        yield probe, "query"
        yield next(shot for shot in own if shot.split == "gallery" and shot.camera != probe.camera), "gallery"


def _list_vric(places: Sequence[Place], vehicles: Mapping[int, Vehicle]) -> Lists:
    return {f"vric_{part}.txt": _vric_list(used_as(places, split)) for split, part in VRIC_PARTS.items()}


def _vric_list(places: Sequence[Place]) -> bytes:
    """Return image, vehicle and camera; training and test each number their vehicles from 1."""
    labels = {vehicle: label for label, vehicle in enumerate(dict.fromkeys(place.shot.vehicle for place in places), 1)}
    return list_file(
        f"{PurePosixPath(place.name).name} {labels[place.shot.vehicle]} {place.shot.camera}" for place in places
    )


def _place_veriwild(shots: Sequence[Shot]) -> list[Place]:
    places = []
    asked: set[int] = set()  # one query a vehicle
    for number, shot in enumerate(shots, start=1):
        split = "gallery" if shot.split == "query" and shot.vehicle in asked else shot.split
        if split == "query":
            asked.add(shot.vehicle)
        places.append(Place(shot, f"images/{shot.vehicle:05d}/{number:06d}.jpg", split))
    return places


def _list_veriwild(places: Sequence[Place], vehicles: Mapping[int, Vehicle]) -> Lists:
    lists = {f"{LISTS}/train_list.txt": list_file(map(_veriwild_key, used_as(places, "train")))}
    for size, tested in zip(VERIWILD_TESTS, nested_tests(places), strict=True):
        # as in the released lists, where no query of a test is in its gallery
        lists[f"{LISTS}/test_{size}.txt"] = list_file(map(_veriwild_key, used_as(tested, "gallery")))
        lists[f"{LISTS}/test_{size}_query.txt"] = list_file(map(_veriwild_key, used_as(tested, "query")))
    told = [_veriwild_record(place, vehicles[place.shot.vehicle]) for place in places]
    return {**lists, f"{LISTS}/vehicle_info.txt": list_file([VERIWILD_HEADER, *told])}


def _veriwild_key(place: Place) -> str:
    return str(PurePosixPath(place.name).relative_to("images").with_suffix(""))


def _veriwild_record(place: Place, vehicle: Vehicle) -> str:
    """Return a line of vehicle_info.txt; a vehicle a minute sets out, and reaches the next camera a minute later."""
    shot, design = place.shot, vehicle.design
    time = START + timedelta(minutes=shot.vehicle + shot.camera, seconds=shot.take)
    told = (shot.camera, f"{time:%Y-%m-%d %H:%M:%S}", f"brand {design.logo + 1}", design.body.name, design.colour)
    return ";".join([_veriwild_key(place), *map(str, told)])


SYNTHETIC = Layout("synthetic", ("synthetic",), _place_synthetic, _list_synthetic)
LAYOUTS: dict[str, Layout] = {
    layout.dataset: layout
    for layout in (
        SYNTHETIC,
        VERI,
        Layout("vehicleid", ("VehicleID_V1.0", "PKU-VehicleID", "VehicleID"), _place_vehicleid, _list_vehicleid),
        Layout("vric", ("VRIC",), _place_vric, _list_vric),
        Layout("veriwild", ("VERI-Wild", "VERIWild"), _place_veriwild, _list_veriwild),
    )
}
