"""Where the pictures of a data set are written, and its list files: as the renderer's own, or as a benchmark's."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count, groupby
from pathlib import PurePosixPath

from data_cache.datasets.catalogue import SOURCES
from data_cache.synthetic.dataset.plan import Shot
from data_cache.synthetic.design.bodies import BODIES
from data_cache.synthetic.design.traits import Vehicle

ListFiles = dict[str, bytes]
LISTS = "train_test_split"
VERI_NAMES = {"train": "train", "query": "query", "gallery": "test"}  # split -> its name in files and folders
VERI_COLOURS = ("yellow", "orange", "green", "gray", "red", "blue", "white", "golden", "brown", "black")  # from 1
VERI_TYPES = ("sedan", "suv", "van", "hatchback", "mpv", "pickup", "bus", "truck", "estate")  # from 1
VERI_WORDS = {"silver": "gray", "grey": "gray", "gold": "golden", "minibus": "bus"}  # for colours and bodies of ours
VEHICLEID_TESTS = (800, 1600, 2400)  # in the names of the official lists, whatever their length here
VEHICLEID_COLOURS = ("black", "blue", "gray", "red", "silver", "white", "yellow")  # other colours are not listed
VRIC_NAMES = {"train": "train", "query": "probe", "gallery": "gallery"}  # split -> its name in files and folders
VERIWILD_TESTS = (3000, 5000, 10000)
VERIWILD_HEADER = "id/image;Camera ID;Time;Model;Type;Color"
START = datetime(2018, 3, 11, 10, 0, 0)


@dataclass(frozen=True)
class ImageFile:
    """An image file of the data set: the shot it shows, its POSIX path below the root, and its split.

    `split` is train, query or gallery; test if the protocol itself chooses queries and gallery.
    """

    shot: Shot
    name: str
    split: str

    @property
    def path(self) -> PurePosixPath:
        """The name as a path."""
        return PurePosixPath(self.name)


@dataclass(frozen=True)
class Layout:
    """A tree of image and list files.

    `image_files` maps the shots, ordered by vehicle, to their files in the same order: none, one or several per shot.
    `list_files` maps these files, and the vehicles by number, to the contents of the list files by path.
    """

    dataset: str  # the `--dataset` that reads it
    image_files: Callable[[Sequence[Shot]], list[ImageFile]]
    list_files: Callable[[Sequence[ImageFile], Mapping[int, Vehicle]], ListFiles]

    @property
    def folders(self) -> tuple[str, ...]:
        """Names below the data root: the first is written, a reader accepts any, in any case."""
        return SOURCES[self.dataset].folders


def _encode_lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _files_of(files: Sequence[ImageFile], split: str) -> list[ImageFile]:
    return [file for file in files if file.split == split]


def _nested_tests(files: Sequence[ImageFile]) -> list[list[ImageFile]]:
    """Return the files of a small, a medium and a large test: a third, two thirds and all of the test vehicles.

    Each has at least one vehicle and contains the smaller tests.
    """
    tested = [file for file in files if file.split != "train"]
    vehicles = sorted({file.shot.vehicle for file in tested})
    last = [vehicles[max(1, share * len(vehicles) // 3) - 1] for share in (1, 2, 3)]
    return [[file for file in tested if file.shot.vehicle <= number] for number in last]


def _veri_images(shots: Sequence[Shot]) -> list[ImageFile]:
    """Name files by vehicle, camera, frame and flag; queries are repeated in the gallery."""
    files = []
    for shot in shots:
        frame = 1000 * shot.vehicle + 5 * (shot.take - 1)  # pictures of a vehicle by a camera are five frames apart
        name = f"{shot.vehicle:04d}_c{shot.camera:03d}_{frame:08d}_0.jpg"
        splits = ("query", "gallery") if shot.split == "query" else (shot.split,)
        files += [ImageFile(shot, f"image_{VERI_NAMES[split]}/{name}", split) for split in splits]
    return files


def _veri_lists(files: Sequence[ImageFile], vehicles: Mapping[int, Vehicle]) -> ListFiles:
    train, query, gallery = (_files_of(files, split) for split in VERI_NAMES)
    return {
        "name_train.txt": _encode_lines(file.path.name for file in train),
        "name_query.txt": _encode_lines(file.path.name for file in query),
        "name_test.txt": _encode_lines(file.path.name for file in gallery),
        "gt_index.txt": _veri_matches(query, gallery, same_camera=False),
        "jk_index.txt": _veri_matches(query, gallery, same_camera=True),
        "test_track.txt": _veri_tracks(gallery),
        "train_label.xml": _veri_labels(train, vehicles),
        "test_label.xml": _veri_labels(gallery, vehicles),
        "list_color.txt": _encode_lines(f"{number} {name}" for number, name in enumerate(VERI_COLOURS, start=1)),
        "list_type.txt": _encode_lines(f"{number} {name}" for number, name in enumerate(VERI_TYPES, start=1)),
    }


def _veri_matches(query: Sequence[ImageFile], gallery: Sequence[ImageFile], *, same_camera: bool) -> bytes:
    """Return one line per query: the 1-based gallery indices of its vehicle, by the same camera or by the others."""
    by_vehicle: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for index, file in enumerate(gallery, start=1):
        by_vehicle[file.shot.vehicle].append((index, file.shot.camera))
    return _encode_lines(
        " ".join(str(index) for index, camera in by_vehicle[shot.vehicle] if (camera == shot.camera) == same_camera)
        for shot in (file.shot for file in query)
    )


def _veri_tracks(gallery: Sequence[ImageFile]) -> bytes:
    """Return one line per track (the images of a vehicle by a camera): its name and its images."""
    by_track = groupby(gallery, key=lambda file: (file.shot.vehicle, file.shot.camera))
    tracks = [[file.path for file in own] for _, own in by_track]
    return _encode_lines(
        " ".join([paths[0].stem.removesuffix("_0"), *(path.name for path in paths)]) for paths in tracks
    )


def _veri_labels(files: Sequence[ImageFile], vehicles: Mapping[int, Vehicle]) -> bytes:
    items = []
    for file in files:
        shot, design = file.shot, vehicles[file.shot.vehicle].design
        colour = VERI_COLOURS.index(VERI_WORDS.get(design.colour, design.colour)) + 1
        body = VERI_TYPES.index(VERI_WORDS.get(design.body.name, design.body.name)) + 1
        items.append(
            f'<Item imageName="{file.path.name}" vehicleID="{shot.vehicle:04d}" cameraID="c{shot.camera:03d}" '
            f'colorID="{colour}" typeID="{body}"/>'
        )
    begin = ['<?xml version="1.0" encoding="gb2312"?>', '<TrainingImages Version="1.0">']  # all is ASCII
    return _encode_lines([*begin, f'<Items number="{len(items)}">', *items, "</Items>", "</TrainingImages>"])


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
        f"{LISTS}/train_list.txt": _vehicleid_list(_files_of(files, "train")),
        **{
            f"{LISTS}/test_list_{size}.txt": _vehicleid_list(tested)
            for size, tested in zip(VEHICLEID_TESTS, _nested_tests(files), strict=True)
        },
        "attribute/img2vid.txt": _vehicleid_list(files),
        "attribute/model_attr.txt": _encode_lines(model_lines),
        "attribute/color_attr.txt": _encode_lines(colour_lines),
        "attribute/model_names.txt": _encode_lines(f"{name} {number}" for number, name in enumerate(models)),
        "attribute/color_names.txt": _encode_lines(f"{name} {number}" for number, name in enumerate(VEHICLEID_COLOURS)),
    }


def _vehicleid_list(files: Sequence[ImageFile]) -> bytes:
    """Return image and vehicle, one line per image."""
    return _encode_lines(f"{file.path.stem} {file.shot.vehicle}" for file in files)


def _vric_images(shots: Sequence[Shot]) -> list[ImageFile]:
    """Use all training shots, but only one query and one gallery image, by another camera, of each test vehicle."""
    chosen: list[tuple[Shot, str]] = []
    for _, group in groupby(shots, key=lambda shot: shot.vehicle):
        own = list(group)
        if own[0].split == "train":
            chosen += [(shot, "train") for shot in own]
            continue
        probe = next(shot for shot in own if shot.split == "query")
        match = next(shot for shot in own if shot.split == "gallery" and shot.camera != probe.camera)
        chosen += [(probe, "query"), (match, "gallery")]
    numbers = {split: count(1) for split in VRIC_NAMES}
    return [
        ImageFile(shot, f"{VRIC_NAMES[split]}_images/{next(numbers[split]):07d}.jpg", split) for shot, split in chosen
    ]


def _vric_lists(files: Sequence[ImageFile], vehicles: Mapping[int, Vehicle]) -> ListFiles:
    """Return image, vehicle and camera, one line per image; vehicles are renumbered from 1 in each list."""
    lists = {}
    for split, name in VRIC_NAMES.items():
        own = _files_of(files, split)
        labels = {vehicle: label for label, vehicle in enumerate(dict.fromkeys(file.shot.vehicle for file in own), 1)}
        lines = [f"{file.path.name} {labels[file.shot.vehicle]} {file.shot.camera}" for file in own]
        lists[f"vric_{name}.txt"] = _encode_lines(lines)
    return lists


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
    lists = {f"{LISTS}/train_list.txt": _encode_lines(map(_veriwild_key, _files_of(files, "train")))}
    for size, tested in zip(VERIWILD_TESTS, _nested_tests(files), strict=True):
        # as in the released lists, the queries of a test are not in its gallery
        lists[f"{LISTS}/test_{size}.txt"] = _encode_lines(map(_veriwild_key, _files_of(tested, "gallery")))
        lists[f"{LISTS}/test_{size}_query.txt"] = _encode_lines(map(_veriwild_key, _files_of(tested, "query")))
    records = [_veriwild_record(file, vehicles[file.shot.vehicle]) for file in files]
    return {**lists, f"{LISTS}/vehicle_info.txt": _encode_lines([VERIWILD_HEADER, *records])}


def _veriwild_key(file: ImageFile) -> str:
    return str(file.path.relative_to("images").with_suffix(""))


def _veriwild_record(file: ImageFile, vehicle: Vehicle) -> str:
    """Return a line of vehicle_info.txt; a vehicle starts every minute and takes a minute from camera to camera."""
    shot, design = file.shot, vehicle.design
    time = START + timedelta(minutes=shot.vehicle + shot.camera, seconds=shot.take)
    columns = (shot.camera, f"{time:%Y-%m-%d %H:%M:%S}", f"brand {design.logo + 1}", design.body.name, design.colour)
    return ";".join([_veriwild_key(file), *map(str, columns)])


SYNTHETIC = Layout(
    "synthetic",
    lambda shots: [ImageFile(shot, shot.name, shot.split) for shot in shots],
    lambda files, vehicles: {},  # images.csv is enough
)
LAYOUTS: dict[str, Layout] = {
    layout.dataset: layout
    for layout in (
        SYNTHETIC,
        Layout("veri", _veri_images, _veri_lists),
        Layout("vehicleid", _vehicleid_images, _vehicleid_lists),
        Layout("vric", _vric_images, _vric_lists),
        Layout("veriwild", _veriwild_images, _veriwild_lists),
    )
}
