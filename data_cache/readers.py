"""Readers of the four public benchmarks, from the folders and list files that their authors give out."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from data_cache.errors import UserError
from data_cache.protocols import DrawnSplit, FixedSplit, Split, fixed_split, rows_where

COLUMNS = ["name", "vehicle_id", "camera_id", "split"]
SIZES_VEHICLEID = {"small": 800, "medium": 1600, "large": 2400}
SIZES_VERIWILD = {"small": 3000, "medium": 5000, "large": 10000}
VERI_NAME = re.compile(r"(\d{4})_c(\d{3})_\d{8}_\d+\.jpg")

Reading = tuple[pd.DataFrame, dict[str, Split]]


def list_lines(path: Path) -> list[list[str]]:
    """Return a list file's lines, each split at white space; BOM, CRLF and empty lines are understood."""
    return [line.split() for line in _text(path).splitlines() if line.strip()]


def _text(path: Path, errors: str = "strict") -> str:
    try:
        return path.read_text(encoding="utf-8-sig", errors=errors)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: list file cannot be read ({error})") from error


def _camera(text: str, path: Path, line: int) -> int:
    if not text.strip().isdecimal():
        raise UserError(f"{path}, entry {line}: {text!r} is no camera number")
    return int(text)


def _fields(path: Path, count: int) -> list[list[str]]:
    lines = list_lines(path)
    for number, fields in enumerate(lines, start=1):
        if len(fields) < count:
            raise UserError(f"{path}, entry {number}: {count} fields are needed, {len(fields)} found")
    return lines


def read_veri(root: Path) -> Reading:
    """Read VeRi-776: vehicle and camera come from the file names; junk = same vehicle and same camera."""
    rows = []
    for split, part in (("train", "train"), ("query", "query"), ("gallery", "test")):
        for name, *_ in _fields(root / f"name_{part}.txt", 1):
            match = VERI_NAME.fullmatch(name)
            if match is None:
                raise UserError(
                    f"{root / f'name_{part}.txt'}: {name!r} is no VeRi file name (vehicle_cCAMERA_frame_flag.jpg)"
                )
            rows.append((f"image_{part}/{name}", match[1], int(match[2]), split))
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table, {"test": fixed_split(table, same_camera_is_junk=True)}


def read_vehicleid(root: Path) -> Reading:
    """Read VehicleID: train_list.txt and the three test lists, line `image vehicle`; it has no cameras."""
    lists = root / "train_test_split"
    rows = [(f"image/{image}.jpg", vehicle, -1, "train") for image, vehicle, *_ in _fields(lists / "train_list.txt", 2)]
    tested: dict[tuple[str, str], None] = {}  # in order; the larger lists repeat the smaller
    members: dict[str, set[str]] = {}
    for size, count in SIZES_VEHICLEID.items():
        path = lists / f"test_list_{count}.txt"
        if path.exists():
            lines = [(f"image/{image}.jpg", vehicle) for image, vehicle, *_ in _fields(path, 2)]
            members[size] = {name for name, _ in lines}
            tested |= dict.fromkeys(lines)
    table = pd.DataFrame(rows + [(name, vehicle, -1, "test") for name, vehicle in tested], columns=COLUMNS)
    vehicles = pd.factorize(table["vehicle_id"])[0].astype(np.int64)
    chosen = {size: rows_where(table["name"].isin(names)) for size, names in members.items()}
    return table, {size: DrawnSplit(select, vehicles[select]) for size, select in chosen.items()}


def read_vric(root: Path) -> Reading:
    """Read VRIC: line `image vehicle camera`; one probe and one gallery image a test vehicle."""
    rows = []
    for split, part in (("train", "train"), ("query", "probe"), ("gallery", "gallery")):
        path = root / f"vric_{part}.txt"
        for line, (image, vehicle, camera, *_) in enumerate(_fields(path, 3), start=1):
            # train and test number their vehicles independently from 1
            label = vehicle if split == "train" else f"test-{vehicle}"
            rows.append((f"{part}_images/{image}", label, _camera(camera, path, line), split))
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table, {"test": fixed_split(table, same_camera_is_junk=False)}


def read_veriwild(root: Path) -> Reading:
    """Read VERI-Wild: lists `vehicle/image`, cameras from vehicle_info.txt; junk as in VeRi-776."""
    lists = root / "train_test_split"
    cameras = _veriwild_cameras(root, lists)
    train = _veriwild_names(lists / "train_list.txt")
    tested: dict[str, str] = {}
    members: dict[str, tuple[set[str], set[str]]] = {}
    for size, count in SIZES_VERIWILD.items():
        if (lists / f"test_{count}.txt").exists():
            gallery, query = (_veriwild_names(lists / f"test_{count}{kind}.txt") for kind in ("", "_query"))
            tested |= dict.fromkeys(gallery, "gallery") | dict.fromkeys(query, "query")
            members[size] = set(query), set(gallery) - set(query)
    rows = [*((key, "train") for key in train), *tested.items()]
    missing = next((key for key, _ in rows if key not in cameras), None)
    if missing is not None:
        raise UserError(f"{root}: vehicle_info.txt tells no camera for {missing}")
    table = pd.DataFrame(
        [(f"images/{key}.jpg", key.split("/")[0], cameras[key], split) for key, split in rows], columns=COLUMNS
    )
    keys = pd.Series([key for key, _ in rows], dtype=str)
    # by the lists, not by `split`: a query of one size may be a gallery image of another
    return table, {
        size: FixedSplit(rows_where(keys.isin(query)), rows_where(keys.isin(gallery)), same_camera_is_junk=True)
        for size, (query, gallery) in members.items()
    }


def _veriwild_names(path: Path) -> list[str]:
    return [name.removesuffix(".jpg") for name, *_ in _fields(path, 1)]


def _veriwild_cameras(root: Path, lists: Path) -> dict[str, int]:
    path = next((place for place in (lists / "vehicle_info.txt", root / "vehicle_info.txt") if place.exists()), None)
    if path is None:
        raise UserError(f"{root}: vehicle_info.txt is missing; it tells the cameras")
    lines = _text(path, errors="replace").splitlines()[1:]
    fields = [line.split(";") for line in lines if line.strip()]
    return {
        name.strip().removesuffix(".jpg"): _camera(camera, path, line)
        for line, (name, camera, *_) in enumerate(((*entry, "") for entry in fields), start=1)
    }
