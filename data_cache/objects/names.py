"""A data set's table from the names of its image files: vehicle, camera, time and split by a regular expression."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from data_cache.base.errors import UserError
from data_cache.datasets.dataset import COLUMNS
from data_cache.objects.columns import SPLIT_OF

GROUPS = ("vehicle", "camera", "time", "split")
LAYOUTS = {
    # https://huggingface.co/datasets/yl4300/RoundaboutHD, its re-ID subset: vehicle, camera, frame
    "roundabouthd": r"(?P<vehicle>\d+)_cam(?P<camera>\d+)_(?P<time>\d+)\.\w+$",
    # https://github.com/sekilab/VehicleReIdentificationDataset: date and time, camera, vehicle
    "carla": r"(?:image_(?P<split>train|query|gallery|test)/)?(?P<time>\d{14})_(?P<camera>\d+)_(?P<vehicle>\d+)\.\w+$",
    # https://github.com/JDAI-CV/VeRidataset and others in the style of Market-1501: vehicle, camera, frame
    "market": r"(?<![\d-])(?P<vehicle>\d+)_c0*(?P<camera>\d+)(?:s\d+)?_(?P<time>\d+)(?:_\d+)?\.\w+$",
}


def compiled_pattern(pattern: str) -> "re.Pattern[str]":
    """Return a pattern with the group vehicle, and perhaps camera, time, split. Raises UserError for any other."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(f"--pattern {pattern}: not a regular expression ({error})") from error
    groups = set(compiled.groupindex)
    if "vehicle" not in groups or not groups <= set(GROUPS):
        raise UserError(
            f"--pattern {pattern}: needs (?P<vehicle>...), and may have (?P<camera>...), (?P<time>...), (?P<split>...)"
        )
    return compiled


def table_of_names(names: Sequence[str], pattern: "re.Pattern[str]", *, test_share: float, seed: int) -> pd.DataFrame:
    """Return the table of a data set from its image names, which the pattern may match anywhere, the rest left out.

    Without a group `split`, `test_share` of the vehicles are for the test, by `seed`: see `split_by_vehicle`. Raises
    UserError if no name matches, too few vehicles are left to split, or a name has a split that is none of SPLIT_OF.
    """
    rows = [(name, match) for name in names if (match := pattern.search(name))]
    if not rows:
        raise UserError(f"no image name matches {pattern.pattern}, as {names[0]} does not")
    found = {group: [match[group] or "" for _, match in rows] for group in GROUPS if group in pattern.groupindex}
    table = pd.DataFrame({"name": [name for name, _ in rows], "vehicle_id": found["vehicle"]})
    table["camera_id"] = found.get("camera", "")
    if "split" in found and any(found["split"]):
        table["split"] = _known_splits(table["name"], found["split"], pattern)
    else:
        table["split"] = split_by_vehicle(table, test_share=test_share, seed=seed)
    return table.assign(time=found["time"])[[*COLUMNS, "time"]] if "time" in found else table[COLUMNS]


def _known_splits(names: "pd.Series[str]", splits: Sequence[str], pattern: "re.Pattern[str]") -> list[str]:
    for name, split in zip(names, splits, strict=True):
        if split.lower() not in SPLIT_OF:
            raise UserError(
                f"{name}: {pattern.pattern} finds the split {split!r} there; it must be one of {', '.join(SPLIT_OF)}"
            )
    return [SPLIT_OF[split.lower()] for split in splits]


def split_by_vehicle(table: pd.DataFrame, *, test_share: float, seed: int) -> list[str]:
    """Return the split of each image: no vehicle of the test is in training.

    Of the test's vehicles that two cameras saw, the first image of each camera, by name, is a query, as in VeRi-776;
    all others are in the gallery. If there are no others, that of the last camera is in the gallery. Where no camera is
    known, the first image of each vehicle with two is a query. Raises UserError if training or test would have less
    than two vehicles.
    """
    vehicles = np.array(sorted(set(table["vehicle_id"])))
    tested = set(np.random.default_rng(seed).permutation(vehicles)[: round(test_share * len(vehicles))].tolist())
    if not 2 <= len(tested) <= len(vehicles) - 2:
        raise UserError(f"{len(vehicles)} vehicles cannot be split into training and a test of {len(tested)}")
    ordered = table.sort_values("name")
    first = ~ordered.duplicated(["vehicle_id", "camera_id"])
    known = (table["camera_id"] != "").any()
    several = ordered.groupby("vehicle_id")["camera_id" if known else "name"].transform("nunique") > 1
    only = first.groupby(ordered["vehicle_id"]).transform("all") & ~ordered.duplicated("vehicle_id", keep="last")
    query = (first & several & ~only).reindex(table.index)
    return [
        "train" if vehicle not in tested else "query" if asks else "gallery"
        for vehicle, asks in zip(table["vehicle_id"], query, strict=True)
    ]
