"""Part statistics against plain loops over all boxes, and the attention chart."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from data_cache.datasets.dataset import Dataset
from data_cache.parts.cache import PartBoxes, empty_cache
from helpers.toy.evaluated import make_evaluated_run
from reid.features.file import Features
from reid.report.part_statistics import part_statistics, parts_by_camera, write_attention_chart

PART_NAMES = ("wheel", "logo", "plate")
SLOTS, TOP_D = 6, 4


def make_samples(count: int = 60, cameras: Sequence[int] = (7, 2, -1, 5)) -> tuple[PartBoxes, Features, Dataset]:
    """Return images with 0 to 6 boxes, never a logo; one image failed; the features are of some, in another order."""
    random = np.random.default_rng(0)
    names = tuple(f"{number:02d}.jpg" for number in range(count))
    boxes_in = random.integers(0, SLOTS + 1, count)
    present = np.arange(SLOTS) < boxes_in[:, None]
    labels = np.where(present, random.choice([0, 2, 2], (count, SLOTS)), -1).astype(np.int8)
    boxes = np.where(present[..., None], np.float32([1, 1, 5, 5]), np.float32(0)).astype(np.float32)
    confidence = np.sort(random.uniform(0.3, 0.9, (count, SLOTS)), axis=1)[:, ::-1]
    scores = np.where(present, confidence, 0).astype(np.float32)
    status = np.where(boxes_in > 0, 0, 1).astype(np.uint8)
    status[np.flatnonzero(boxes_in == 0)[:1]] = 2
    failure = tuple("damaged" if code == 2 else "" for code in status)
    parts = PartBoxes(names, np.full((count, 2), 9, np.int32), boxes, scores, labels, status, failure, PART_NAMES, {})
    weights = np.where(present[:, :TOP_D], random.random((count, TOP_D)), 0)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
    chosen = random.permutation(count)[: max(1, count - 7)]
    matrix = np.eye(count, dtype=np.float32)[chosen]
    features = Features(tuple(names[row] for row in chosen), matrix, weights[chosen].astype(np.float32), {})
    camera = [cameras[min(row % (2 * len(cameras)), len(cameras) - 1)] for row in range(count)]
    table = pd.DataFrame({"name": names, "vehicle_id": "v", "camera_id": camera, "split": "gallery"})
    return parts, features, Dataset("toy", Path(), table.sample(frac=1, random_state=0), {})


def used_slots(parts: PartBoxes, name: str) -> list[tuple[str, bool]]:
    """Return part and whether it counts, for each box that the network weighs."""
    row = parts.names.index(name)
    pairs = zip(parts.labels[row][:TOP_D], parts.scores[row][:TOP_D], strict=True)
    return [(PART_NAMES[label], bool(score >= 0.5)) for label, score in pairs if label >= 0]


def used_parts(parts: PartBoxes, name: str) -> list[str]:
    return [part for part, counts in used_slots(parts, name) if counts]


def test_attention_by_part_equals_a_plain_loop() -> None:
    parts, features, _ = make_samples()
    statistics = part_statistics(parts, features)
    assert statistics is not None
    weights: dict[str, list[float]] = {name: [] for name in PART_NAMES}
    shares: dict[str, list[float]] = {name: [] for name in PART_NAMES}
    images: dict[str, set[str]] = {name: set() for name in PART_NAMES}
    below: list[float] = []
    for image, name in enumerate(features.names):
        used = used_slots(parts, name)
        below.append(sum(float(features.attention[image, slot]) for slot, (_, counts) in enumerate(used) if not counts))
        for slot, (part, counts) in enumerate(used):
            if counts:
                weights[part].append(float(features.attention[image, slot]))
                shares[part].append(1 / len(used))
                images[part].add(name)
    assert statistics.useful_confidence == 0.5 and 0 < statistics.attention_below == pytest.approx(np.mean(below))
    assert statistics.found == len(set.union(*images.values()))
    assert [use.images for use in statistics.uses] == sorted((use.images for use in statistics.uses), reverse=True)
    for use in statistics.uses:
        assert (use.images, use.boxes) == (len(images[use.name]), len(weights[use.name]))
        if use.name == "logo":
            assert use.attention is None and use.ratio is None
        else:
            assert use.attention == pytest.approx(np.mean(weights[use.name]))
            assert use.ratio == pytest.approx(np.mean(weights[use.name]) / np.mean(shares[use.name]))
    assert statistics.boxes_per_image == pytest.approx(sum(map(len, weights.values())) / len(features.names))
    assert statistics.largest_weight == pytest.approx(
        max(max(use.attention or 0, use.equal_share or 0) for use in statistics.uses)
    )
    assert statistics.found + statistics.empty + statistics.failed == statistics.images == len(features.names)
    assert statistics.failed <= 1 and statistics.empty > 0


def test_networks_without_part_attention() -> None:
    parts, features, dataset = make_samples()
    grid = replace(features, attention=np.full((len(features.names), 49), 1 / 49, np.float32))
    statistics = part_statistics(parts, grid)
    assert statistics is not None and statistics.top_d == SLOTS
    assert all(use.attention is None for use in statistics.uses) and statistics.largest_weight == 1.0
    no_slots = empty_cache(sorted(features.names))
    assert part_statistics(no_slots, grid) is None and parts_by_camera(no_slots, features, dataset) is None


def test_means_by_camera_equal_a_plain_loop() -> None:
    parts, features, dataset = make_samples()
    found = parts_by_camera(parts, features, dataset)
    assert found is not None and found.cameras == (2, 5, 7) and found.left_out == 0
    camera_of = dict(zip(dataset.table["name"], dataset.table["camera_id"], strict=True))
    for column, camera in enumerate(found.cameras):
        own = [name for name in features.names if camera_of[name] == camera]
        assert found.images[column] == len(own)
        for row, part in enumerate(found.parts):
            boxes = sum(used_parts(parts, name).count(part) for name in own)
            assert found.mean[row, column] == pytest.approx(boxes / len(own))
    assert found.parts == ("plate", "wheel")
    assert found.total == pytest.approx(found.mean[0] + found.mean[1]) and found.largest == found.mean.max()


def test_only_the_cameras_with_the_most_images_are_kept_in_order() -> None:
    parts, features, dataset = make_samples(cameras=[9, 1, 8, 3])
    everything = parts_by_camera(parts, features, dataset)
    few = parts_by_camera(parts, features, dataset, max_cameras=2)
    assert everything is not None and few is not None
    most = sorted(zip(everything.images, everything.cameras, strict=True), key=lambda pair: -pair[0])[:2]
    assert few.cameras == tuple(sorted(camera for _, camera in most)) and few.left_out == 2
    columns = [everything.cameras.index(camera) for camera in few.cameras]
    np.testing.assert_array_equal(few.mean, everything.mean[:, columns])
    assert parts_by_camera(*make_samples(cameras=[-1])) is None


def test_a_cache_without_any_box_has_no_rows_by_camera() -> None:
    parts, features, dataset = make_samples(cameras=[1, 2])
    nothing = replace(
        parts,
        labels=np.full_like(parts.labels, -1),
        boxes=np.zeros_like(parts.boxes),
        scores=np.zeros_like(parts.scores),
        status=np.ones_like(parts.status),
        failure=("",) * len(parts.names),
    )
    found = parts_by_camera(nothing, features, dataset)
    assert found is not None and found.parts == () and found.total == [0.0, 0.0] and found.largest == 1.0


def test_bars_of_the_chart_are_mean_attention_preferred_parts_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, *a, **k: (drawn.append(figure), save(figure, *a, **k)))
    run = make_evaluated_run(tmp_path)
    path = write_attention_chart(run, tmp_path / "charts" / "attention.png")
    assert path is not None and Image.open(path).format == "PNG"
    axes = drawn[0].axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.8, 0.2])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["mirror", "wheel"]
    assert axes.lines[0].get_xdata() == pytest.approx([0.5, 0.5])
    grid = replace(run, features=replace(run.features, attention=np.full((15, 49), 1 / 49, np.float32)))
    assert write_attention_chart(grid, tmp_path / "none.png") is None and not (tmp_path / "none.png").exists()
