"""Reading for the detector: batches as planned, a bad image told in its place, and nothing else lost."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detect.model.reading import ReadBatch, read_batches


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three images, the second of them no image at all."""
    for index, size in enumerate([(20, 10), (30, 40), (8, 8)]):
        Image.new("RGB", size, (index, 100, 200)).save(tmp_path / f"{index}.png")
    (tmp_path / "1.png").write_bytes(b"no image")
    return tmp_path


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_keep_their_plan_and_a_bad_image_is_told_in_its_place(root: Path, workers: int) -> None:
    first, second = read_batches([["0.png", "1.png"], ["2.png"]], root, 16, workers)
    assert first.names == ("0.png", "1.png") and second.names == ("2.png",)
    assert (len(first), len(second)) == (2, 1)
    assert first.pixels.shape == (2, 16, 16, 3) and first.sizes.tolist() == [[20, 10], [0, 0]]
    assert first.failures[0] == "" and "not a JPEG or PNG" in first.failures[1]
    assert (first.pixels[1] == 0).all()
    assert np.array_equal(first.pixels[0, 15, 0], [0, 100, 200]) and np.array_equal(
        second.pixels[0, 3, 3], [2, 100, 200]
    )


def test_a_name_that_leaves_the_folder_is_a_failure(tmp_path: Path) -> None:
    (batch,) = read_batches([["../x.png"]], tmp_path, 16, workers=0)
    assert "not a relative path" in batch.failures[0]


def test_no_batch_is_no_work(tmp_path: Path) -> None:
    assert list(read_batches([], tmp_path, 16, workers=0)) == []


def test_without_pixels_the_rest_stays(root: Path) -> None:
    (batch,) = read_batches([["0.png", "1.png"]], root, 16, workers=0)
    rest: ReadBatch = batch.without_pixels()
    assert rest.pixels.numel() == 0 and batch.pixels.numel() > 0
    assert (rest.names, rest.failures, rest.sizes.tolist()) == (batch.names, batch.failures, batch.sizes.tolist())
