"""Readers of the four public benchmarks, from the folders and list files that their authors give out."""

import re
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from data_cache.errors import UserError
from data_cache.protocols import DrawnSplit, Split, fixed_split, rows_where

COLUMNS = ["name", "vehicle_id", "camera_id", "split"]
SIZES_VEHICLEID = {"small": 800, "medium": 1600, "large": 2400}
SIZES_VERIWILD = {"small": 3000, "medium": 5000, "large": 10000}
VERI_NAME = re.compile(r"(\d{4})_c(\d{3})_\d{8}_\d+\.jpg")

Reading = tuple[pd.DataFrame, dict[str, Split]]


def list_lines(path: Path) -> list[list[str]]:
    """Return a list file's lines, each split at white space; BOM, CRLF and empty lines are understood."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: list file cannot be read ({error})") from error
    return [line.split() for line in text.splitlines() if line.strip()]


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
    rows = {f"image/{image}.jpg": (vehicle, "train") for image, vehicle, *_ in _fields(lists / "train_list.txt", 2)}
    members: dict[str, set[str]] = {}
    for size, count in SIZES_VEHICLEID.items():
        path = lists / f"test_list_{count}.txt"
        if path.exists():
            lines = _fields(path, 2)
            members[size] = {f"image/{image}.jpg" for image, *_ in lines}
            rows.update({f"image/{image}.jpg": (vehicle, "test") for image, vehicle, *_ in lines})
    table = pd.DataFrame([(name, vehicle, -1, split) for name, (vehicle, split) in rows.items()], columns=COLUMNS)
    vehicles = pd.factorize(table["vehicle_id"])[0].astype(np.int64)
    chosen = {size: rows_where(table["name"].isin(names)) for size, names in members.items()}
    return table, {size: DrawnSplit(select, vehicles[select]) for size, select in chosen.items()}


def read_vric(root: Path) -> Reading:
    """Read VRIC: line `image vehicle camera`; one probe and one gallery image a test vehicle."""
    rows = []
    for split, part in (("train", "train"), ("query", "probe"), ("gallery", "gallery")):
        for image, vehicle, camera, *_ in _fields(root / f"vric_{part}.txt", 3):
            # train and test number their vehicles independently from 1
            rows.append(
                (f"{part}_images/{image}", vehicle if split == "train" else f"test-{vehicle}", int(camera), split)
            )
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table, {"test": fixed_split(table, same_camera_is_junk=False)}


def read_veriwild(root: Path) -> Reading:
    """Read VERI-Wild: lists `vehicle/image`, cameras from vehicle_info.txt; junk as in VeRi-776."""
    lists = root / "train_test_split"
    cameras = _veriwild_cameras(root, lists)
    rows = {key: "train" for key in _veriwild_names(lists / "train_list.txt")}
    members: dict[str, set[str]] = {}
    for size, count in SIZES_VERIWILD.items():
        if (lists / f"test_{count}.txt").exists():
            gallery, query = (_veriwild_names(lists / f"test_{count}{kind}.txt") for kind in ("", "_query"))
            rows.update(dict.fromkeys(gallery, "gallery") | dict.fromkeys(query, "query"))
            members[size] = {*gallery, *query}
    missing = next((key for key in rows if key not in cameras), None)
    if missing is not None:
        raise UserError(f"{root}: vehicle_info.txt tells no camera for {missing}")
    table = pd.DataFrame(
        [(f"images/{key}.jpg", key.split("/")[0], cameras[key], split) for key, split in rows.items()], columns=COLUMNS
    )
    keys = pd.Series(list(rows), dtype=str)
    return table, {
        size: fixed_split(table, same_camera_is_junk=True, within=keys.isin(names)) for size, names in members.items()
    }


def _veriwild_names(path: Path) -> list[str]:
    return [str(PurePosixPath(name).with_suffix("")) for name, *_ in _fields(path, 1)]


def _veriwild_cameras(root: Path, lists: Path) -> dict[str, int]:
    path = next((place for place in (lists / "vehicle_info.txt", root / "vehicle_info.txt") if place.exists()), None)
    if path is None:
        raise UserError(f"{root}: vehicle_info.txt is missing; it tells the cameras")
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()[1:]
    fields = [line.split(";") for line in lines if line.strip()]
    return {str(PurePosixPath(name).with_suffix("")): int(camera) for name, camera, *_ in fields}
