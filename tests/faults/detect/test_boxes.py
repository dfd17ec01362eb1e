"""A detector that returns nonsense: its valid boxes are kept, and no other box ever reaches a part cache."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from data_cache.parts.cache import STATUS_FAILED, PartBoxes, read_parts
from data_cache.parts.shards import shards_folder
from detect.model.detector import Detector
from detect.model.nms import PartBatch, postprocess
from detect.model.ssd import build_network
from detect.recipes import DetectorRecipe
from helpers.faults.detection import assert_one_line, here
from helpers.places.stand_in import StandIn, data_set, words

NAN, INF = math.nan, math.inf
# box (x0, y0, x1, y1), score, and the box to keep after clipping to an image of width w and height h, or None
ANSWERS: tuple[tuple[tuple[float, float, float, float], float, Callable[[float, float], list[float]] | None], ...] = (
    ((2, 3, 12, 13), 0.9, lambda w, h: [2, 3, 12, 13]),
    ((-5, -7, 10, 10), 0.8, lambda w, h: [0, 0, 10, 10]),
    ((5, 5, 1e30, 1e30), 0.7, lambda w, h: [5, 5, w, h]),
    ((-1e30, -1e30, 1e30, 1e30), 0.6, lambda w, h: [0, 0, w, h]),
    ((1, 1, 2, 2), 1.0, lambda w, h: [1, 1, 2, 2]),
    ((4, 4, 9, 9), 0.5, lambda w, h: [4, 4, 9, 9]),
    ((NAN, 3, 12, 13), 0.99, None),
    ((2, 3, 12, NAN), 0.98, None),
    ((NAN, NAN, NAN, NAN), 0.97, None),
    ((2, 3, INF, 13), 0.96, None),
    ((-INF, -INF, INF, INF), 0.95, None),
    ((12, 3, 2, 13), 0.94, None),  # reversed
    ((2, 13, 12, 3), 0.93, None),
    ((5, 5, 5, 9), 0.92, None),  # no area
    ((5, 5, 5, 5), 0.91, None),
    ((5, 5, 5.5, 9), 0.89, None),  # less than a pixel
    ((-20, -20, -1, -1), 0.88, None),  # outside
    ((1e6, 1e6, 2e6, 2e6), 0.87, None),
    ((2, 3, 12, 13), NAN, None),
    ((2, 3, 12, 13), INF, None),
    ((2, 3, 12, 13), -INF, None),
    ((2, 3, 12, 13), 1.0001, None),
    ((2, 3, 12, 13), -0.5, None),
    ((2, 3, 12, 13), 0.0, None),
)
INVALID = ((2, 3, NAN, 13), (2, 3, INF, 13), (-2, 3, 12, 13), (2, 3, 12, 1000), (12, 3, 2, 13), (2, 3, 2, 13))


class Nonsense(StandIn):
    """Return all of `ANSWERS` for every image, in a random order, each with another label."""

    def detect(self, pixels: Tensor, sizes: NDArray[np.integer[Any]]) -> PartBatch:
        order = torch.randperm(len(ANSWERS), generator=torch.Generator().manual_seed(int(sizes.sum())))
        boxes, scores = torch.tensor([box for box, _, _ in ANSWERS]), torch.tensor([score for _, score, _ in ANSWERS])
        labels = torch.arange(len(ANSWERS)) % 16
        found = PartBatch(*(values[order].expand(len(sizes), *values.shape) for values in (boxes, scores, labels)))
        return postprocess(found, torch.from_numpy(np.asarray(sizes, dtype=np.float32)), self.recipe)


class Broken(StandIn):
    """Return one box for every image, without post-processing."""

    box: tuple[float, float, float, float] = (2, 3, 12, 13)
    score, label = 0.5, 3

    def detect(self, pixels: Tensor, sizes: NDArray[np.integer[Any]]) -> PartBatch:
        shape = (len(sizes), self.recipe.top_k)
        found = PartBatch(torch.zeros(*shape, 4), torch.zeros(shape), torch.full(shape, -1))
        found.boxes[:, 0], found.scores[:, 0], found.labels[:, 0] = torch.tensor(self.box), self.score, self.label
        return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images for two shards, none of them damaged."""
    return data_set(tmp_path_factory.mktemp("data") / "few", 9, damaged=None)


def assert_sound(parts: PartBoxes) -> None:
    """Check box by box what a reader of the cache relies on."""
    for boxes, scores, labels, (width, height) in zip(
        parts.boxes, parts.scores, parts.labels, parts.image_size, strict=True
    ):
        found = [(*box, score) for box, score, label in zip(boxes, scores, labels, strict=True) if label in range(16)]
        for x0, y0, x1, y1, score in found:
            assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height and 0 < score <= 1
        assert not boxes[len(found) :].any() and not scores[len(found) :].any() and (labels[len(found) :] == -1).all()
        assert sorted(scores, reverse=True) == list(scores)


def test_only_valid_boxes_reach_the_cache(data: Path, tmp_path: Path) -> None:
    assert here(words(data, tmp_path / "parts.h5"), make=Nonsense).code == 0
    parts = read_parts(tmp_path / "parts.h5")
    assert_sound(parts)
    for row, (width, height) in enumerate(parts.image_size.tolist()):
        wanted = sorted(
            ((score, keep(width, height), index % 16) for index, (_, score, keep) in enumerate(ANSWERS) if keep),
            reverse=True,
        )
        count = len(wanted)
        assert parts.boxes[row, :count].tolist() == [box for _, box, _ in wanted]
        assert parts.scores[row, :count] == pytest.approx([score for score, _, _ in wanted])
        assert parts.labels[row].tolist() == [label for _, _, label in wanted] + [-1] * (16 - count)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        *(({"box": box}, "a box is not finite, has no area or is outside its image") for box in INVALID),
        ({"score": NAN}, "a score is not in"),
        ({"score": 1.5}, "a score is not in"),
        ({"score": -0.5}, "a score is not in"),
        ({"label": 16}, "a label is unknown"),
        ({"label": -2}, "a label is unknown"),
    ],
)
def test_invalid_box_ends_the_run_and_is_never_written(
    data: Path, tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    output = tmp_path / "parts.h5"
    ended = here(words(data, output), make=type("Changed", (Broken,), change))
    assert_one_line(ended, "images/0000.png", reason)
    assert not output.exists() and not list(shards_folder(output).glob("*.h5"))
    again = here(words(data, output), make=Broken)
    assert again.code == 0, again.output
    assert (read_parts(output).labels[:, 0] == 3).all()


class Failing(Detector):
    """A real network whose output for every second image of a batch is partly replaced by one value."""

    value: float | None = None

    def __init__(self, recipe: DetectorRecipe) -> None:
        torch.manual_seed(0)
        super().__init__(build_network(recipe), recipe, "cpu")

    def forward(self, inputs: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        levels = [[level.clone() for level in kind] for kind in super().forward(inputs)]
        for level in (*levels[0], *levels[1]) if self.value is not None else ():
            level[1::2, : level.shape[1] // 2] = self.value
        return levels[0], levels[1]


@pytest.fixture(scope="module")
def network_data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PartBoxes]:
    """Images, and the part cache that the real network makes of them."""
    folder = data_set(tmp_path_factory.mktemp("data") / "network", 12)
    assert here(words(folder, folder.parent / "whole.h5"), make=Failing).code == 0
    return folder, read_parts(folder.parent / "whole.h5")


@pytest.mark.parametrize("value", [NAN, INF, -INF, 1e30, -1e30, 80.0])
def test_network_without_finite_output_affects_no_other_image(
    network_data: tuple[Path, PartBoxes], tmp_path: Path, value: float
) -> None:
    folder, whole = network_data
    assert here(words(folder, tmp_path / "parts.h5"), make=type("Changed", (Failing,), {"value": value})).code == 0
    parts = read_parts(tmp_path / "parts.h5")
    assert_sound(parts)
    assert (parts.status == STATUS_FAILED).tolist() == (whole.status == STATUS_FAILED).tolist()
    untouched = [row for row in range(len(parts.names)) if row % 3 != 1]  # batches of three
    assert (whole.labels[untouched] >= 0).any()
    np.testing.assert_array_equal(parts.boxes[untouched], whole.boxes[untouched])
    np.testing.assert_array_equal(parts.scores[untouched], whole.scores[untouched])
    assert not np.array_equal(parts.scores[1::3], whole.scores[1::3])
