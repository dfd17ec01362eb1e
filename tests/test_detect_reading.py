from pathlib import Path

import numpy as np
from PIL import Image

from detect.reading import read_batches


def test_batches_keep_their_plan_and_a_bad_image_is_told_in_its_place(tmp_path: Path) -> None:
    for index, size in enumerate([(20, 10), (30, 40), (8, 8)]):
        Image.new("RGB", size, (index, 100, 200)).save(tmp_path / f"{index}.png")
    (tmp_path / "1.png").write_bytes(b"no image")
    first, second = read_batches([["0.png", "1.png"], ["2.png"]], tmp_path, 16, workers=0)
    assert first.names == ("0.png", "1.png") and second.names == ("2.png",)
    assert first.pixels.shape == (2, 16, 16, 3) and first.sizes.tolist() == [[20, 10], [0, 0]]
    assert first.failures[0] == "" and "not a JPEG or PNG" in first.failures[1]
    assert np.array_equal(second.pixels[0, 3, 3], [2, 100, 200])


def test_a_name_that_leaves_the_folder_is_a_failure(tmp_path: Path) -> None:
    (batch,) = read_batches([["../x.png"]], tmp_path, 16, workers=0)
    assert "not a relative path" in batch.failures[0]
