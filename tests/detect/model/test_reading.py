"""Reading images for the detector: batches follow the plan, and an unreadable image is a failure in its slot."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detect.model.reading import read_batches, resize


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three files, the second of which is no image."""
    for index, size in enumerate([(20, 10), (30, 40), (8, 8)]):
        Image.new("RGB", size, (index, 100, 200)).save(tmp_path / f"{index}.png")
    (tmp_path / "1.png").write_bytes(b"no image")
    return tmp_path


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_follow_the_plan_and_name_failures(root: Path, workers: int) -> None:
    first, second = read_batches([["0.png", "1.png"], ["2.png"]], root, 16, workers)
    assert first.names == ("0.png", "1.png") and second.names == ("2.png",)
    assert (len(first), len(second)) == (2, 1)
    assert first.pixels.shape == (2, 16, 16, 3) and first.sizes.tolist() == [[20, 10], [0, 0]]
    assert first.failures[0] == "" and "not a JPEG, PNG, WebP or BMP" in first.failures[1]
    assert (first.pixels[1] == 0).all()
    assert first.pixels[0, 15, 0].tolist() == [0, 100, 200] and second.pixels[0, 3, 3].tolist() == [2, 100, 200]


def test_a_name_outside_the_folder_is_a_failure(tmp_path: Path) -> None:
    (batch,) = read_batches([["../x.png"]], tmp_path, 16, workers=0)
    assert "not a relative path" in batch.failures[0]


def test_no_batches(tmp_path: Path) -> None:
    assert list(read_batches([], tmp_path, 16, workers=0)) == []


@pytest.mark.parametrize("shape", [(40, 60), (120, 90), (300, 500), (7, 3), (1, 1)])
def test_resizing_differs_from_pillow_by_at_most_one(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(image).resize((96, 96), Image.Resampling.BILINEAR), dtype=np.int16)
    resized = resize(image, 96)
    assert resized.shape == (96, 96, 3) and resized.dtype == torch.uint8
    assert np.abs(resized.numpy() - expected).max() <= 1
