"""Parts by camera, against a walk over every box."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_cache.datasets.dataset import Dataset
from data_cache.parts.cache import PartBoxes, no_parts
from reid.features.file import Features
from reid.report.statistics import parts_by_camera

PART_NAMES = ("wheel", "logo", "plate")


def samples(cameras: list[int], places: int = 6, depth: int = 4) -> tuple[PartBoxes, Features, Dataset]:
    """Images with 0 to 6 boxes, by these cameras in turn with more of the first; the logo is never found."""
    random, count = np.random.default_rng(0), 60
    names = tuple(f"{number:02d}.jpg" for number in range(count))
    number = random.integers(0, places + 1, count)
    present = np.arange(places) < number[:, None]
    labels = np.where(present, random.choice([0, 2, 2], (count, places)), -1).astype(np.int8)
    boxes = np.where(present[..., None], np.float32([1, 1, 5, 5]), np.float32(0)).astype(np.float32)
    scores = np.where(present, np.float32(0.5), np.float32(0)).astype(np.float32)
    status = np.where(number > 0, 0, 1).astype(np.uint8)
    size, none = np.full((count, 2), 9, np.int32), ("",) * count
    parts = PartBoxes(names, size, boxes, scores, labels, status, none, PART_NAMES, {})
    chosen = random.permutation(count)[: count - 7]
    attention = np.full((len(chosen), depth), 1 / depth, np.float32)
    features = Features(tuple(names[row] for row in chosen), np.eye(count, dtype=np.float32)[chosen], attention, {})
    camera = [cameras[min(row % (2 * len(cameras)), len(cameras) - 1)] for row in range(count)]
    table = pd.DataFrame({"name": names, "vehicle_id": "v", "camera_id": camera, "split": "gallery"})
    return parts, features, Dataset("toy", Path(), table.sample(frac=1, random_state=0), {})


def test_the_means_are_those_of_a_walk() -> None:
    parts, features, dataset = samples([7, 2, -1, 5])
    found = parts_by_camera(parts, features, dataset)
    assert found is not None and found.cameras == (2, 5, 7) and found.left_out == 0
    camera_of = dict(zip(dataset.table["name"], dataset.table["camera_id"], strict=True))
    for column, camera in enumerate(found.cameras):
        own = [name for name in features.names if camera_of[name] == camera]
        assert found.images[column] == len(own)
        for row, part in enumerate(found.parts):
            boxes = 0
            for name in own:
                boxes += [PART_NAMES[label] for label in parts.labels[parts.names.index(name)][:4] if label >= 0].count(
                    part
                )
            assert found.mean[row, column] == pytest.approx(boxes / len(own))
    assert found.parts == ("plate", "wheel")
    assert found.total == pytest.approx(found.mean[0] + found.mean[1]) and found.largest == found.mean.max()


def test_of_many_cameras_those_with_the_most_images_are_kept_in_order() -> None:
    parts, features, dataset = samples([9, 1, 8, 3])
    everything = parts_by_camera(parts, features, dataset)
    few = parts_by_camera(parts, features, dataset, most=2)
    assert everything is not None and few is not None
    most = sorted(zip(everything.images, everything.cameras, strict=True), key=lambda pair: -pair[0])[:2]
    assert few.cameras == tuple(sorted(camera for _, camera in most)) and few.left_out == 2
    columns = [everything.cameras.index(camera) for camera in few.cameras]
    np.testing.assert_array_equal(few.mean, everything.mean[:, columns])


def test_without_cameras_or_boxes_there_is_nothing_to_tell() -> None:
    parts, features, dataset = samples([-1])
    assert parts_by_camera(parts, features, dataset) is None
    assert parts_by_camera(no_parts(sorted(features.names)), features, samples([1])[2]) is None


def test_a_cache_that_found_nothing_has_no_rows() -> None:
    parts, features, dataset = samples([1, 2])
    empty = no_parts(parts.names)
    wide = PartBoxes(
        **{
            **vars(empty),
            "labels": np.full((60, 6), -1, np.int8),
            "boxes": np.zeros((60, 6, 4), np.float32),
            "scores": np.zeros((60, 6), np.float32),
            "part_names": PART_NAMES,
        }
    )
    found = parts_by_camera(wide, features, dataset)
    assert found is not None and found.parts == () and found.total == [0.0, 0.0] and found.largest == 1.0
