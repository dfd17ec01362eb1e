"""Small list files of the benchmarks, in every text format that readers accept."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest

from data_cache.datasets.dataset import Dataset

Form = Callable[[Sequence[str]], bytes]
FORMS: dict[str, Form] = {
    "plain": lambda lines: "".join(line + "\n" for line in lines).encode(),
    "CRLF": lambda lines: "".join(line + "\r\n" for line in lines).encode(),
    "no last newline": lambda lines: "\n".join(lines).encode(),
    "BOM": lambda lines: "".join(line + "\n" for line in lines).encode("utf-8-sig"),
    "empty lines and blanks": lambda lines: "\n\n".join(f"{line} \t" for line in [*lines, ""]).encode(),
}
in_every_form = pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))

VERI = {
    "name_train.txt": ["0001_c001_00016450_0.jpg", "0001_c002_00016460_0.jpg"],
    "name_query.txt": ["0002_c002_00030600_0.jpg", "0776_c007_00000600_0.jpg"],
    "name_test.txt": [
        "0776_c007_00000600_0.jpg", "0002_c002_00030600_0.jpg", "0002_c014_00030630_1.jpg", "0776_c009_00000700_0.jpg",
        "0002_c002_00030605_0.jpg", "0776_c009_00000705_0.jpg",
    ],
}  # fmt: skip
# by hand: positions in name_test.txt, from 1, of the query's vehicle by other cameras, and by its own
VERI_ANSWERS = {"gt_index.txt": ["3", "4 6"], "jk_index.txt": ["2 5", "1"]}
VERI_TRACKS = [
    "0776_c007_00000600_0.jpg",
    "0002_c002_00030600_0.jpg 0002_c002_00030605_0.jpg",
    "0776_c009_00000705_0.jpg 0776_c009_00000700_0.jpg",
]
VEHICLEID = {
    "train_test_split/train_list.txt": ["0212502 8096", "0212503 8096", "0000009 21"],
    "train_test_split/test_list_800.txt": ["0000001 20", "0000002 20", "0000003 30"],
    "train_test_split/test_list_1600.txt": ["0000001 20", "0000002 20", "0000003 30", "0000004 40"],
}
VRIC = {
    "vric_train.txt": ["0000001.jpg 1 2", "0000002.jpg 1 3"],
    "vric_probe.txt": ["0000003.jpg 1 60", "0000004.jpg 2 5"],
    "vric_gallery.txt": ["0000005.jpg 1 7", "0000006.jpg 2 6"],
}
VERIWILD_INFO = [
    "id/image;Camera ID;Time;Model;Type;Color",
    "00001/000001;81;2018-03-11 10:05:18;Audi;SUV;white",
    "00001/000002;82;2018-03-11 10:05:18;Audi;SUV;white",
    "00007/000011;5;2018-03-12 07:00:00;BAIC Weiwang;business purpose vehicle/MPV;",
    "00007/000012;6;;;;",
    "00007/000013;5;;;;red",
    "00008/000021;9;;;;",
    "00008/000022;8",
]
# image 12 is a query of the small test and a gallery image of the medium one
VERIWILD_IMAGES = {
    "train_list": ["00001/000001", "00001/000002"],
    "test_3000": ["00007/000011", "00007/000013"],
    "test_3000_query": ["00007/000012"],
    "test_5000": ["00007/000012", "00007/000013", "00008/000022"],
    "test_5000_query": ["00007/000011", "00008/000021"],
}
OTHER_NAMES = {  # in the dialect with labels and cameras
    "train_list": "train_list_start0",
    "test_3000": "test_3000_id",
    "test_3000_query": "test_3000_id_query",
    "test_5000": "test_5000_id",
    "test_5000_query": "test_5000_id_query",
}


def veriwild(line: Callable[[str], str] = str, names: dict[str, str] | None = None) -> dict[str, Sequence[str]]:
    """Return VERI-Wild's lists with one `line(image)` per image; `names` renames lists."""
    named = {(names or {}).get(name, name): images for name, images in VERIWILD_IMAGES.items()}
    return {f"train_test_split/{name}.txt": [line(image) for image in images] for name, images in named.items()}


# folder and lists of each benchmark
BENCHMARKS: dict[str, tuple[str, dict[str, Sequence[str]]]] = {
    "veri": ("VeRi", VERI | VERI_ANSWERS | {"test_track.txt": VERI_TRACKS}),
    "vehicleid": ("VehicleID_V1.0", VEHICLEID),
    "vric": ("VRIC", VRIC),
    "veriwild": ("VERI-Wild", veriwild() | {"vehicle_info.txt": VERIWILD_INFO}),
}


def write_lists(root: Path, lists: dict[str, Sequence[str]], form: Form = FORMS["plain"]) -> Path:
    """Write list files below `root` and return it."""
    for name, lines in lists.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(form(lines))
    return root


def make_unique(root: Path, names: Sequence[str]) -> None:
    """Append its name to each picture, so that no two have the same bytes; decoders ignore it."""
    for name in names:
        with (root / name).open("ab") as picture:
            picture.write(name.encode())


def table_rows(table: pd.DataFrame) -> list[tuple[str, str, int, str]]:
    """Return name, vehicle, camera and split of each row."""
    return list(table[["name", "vehicle_id", "camera_id", "split"]].itertuples(index=False, name=None))


def trial_names(dataset: Dataset, split: str) -> tuple[set[str], set[str]]:
    """Return the names of the queries and of the gallery of a split's first trial."""
    trial = dataset.protocol(split).trials[0]
    query, gallery = (set(dataset.table["name"].iloc[rows]) for rows in (trial.query, trial.gallery))
    return query, gallery
