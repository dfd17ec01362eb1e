"""Pixel files give the same items as the image files, without copying pixels, and every modification is found."""

import errno
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from data_cache.base.errors import UserError
from data_cache.base.tensors import save_tensors
from helpers.toy.decoded import (
    SIZE,
    assert_same_items,
    description,
    files_in,
    five_rows_per_piece,
    images_of,
    made,
    names_of,
    replace_image,
)
from helpers.toy.vehicles import Toy
from reid.data.pixel_file import REMEDY, open_pixels


@pytest.fixture(autouse=True)
def several_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    five_rows_per_piece(monkeypatch)


@pytest.mark.parametrize("workers", [0, 2])
def test_items_are_those_of_the_image_files(toy: Toy, tmp_path: Path, workers: int) -> None:
    pixels = made(toy, tmp_path / "decoded.safetensors", workers=workers)
    assert files_in(tmp_path) == ["decoded.safetensors"]
    assert_same_items(images_of(toy, pixels), images_of(toy, None), workers)
    some = names_of(toy)[::-3]  # in another order than in the file
    assert_same_items(images_of(toy, pixels, some), images_of(toy, None, some), workers)


def test_any_safetensors_reader_finds_the_resized_images(toy: Toy, tmp_path: Path) -> None:
    path = tmp_path / "decoded.safetensors"
    made(toy, path)
    with safe_open(path, "numpy") as file:
        pixels = file.get_tensor("pixels")
    names = names_of(toy)
    assert pixels.shape == (len(names), SIZE, SIZE, 3) and pixels.dtype == np.uint8
    for name, row in zip(names, pixels, strict=True):
        with Image.open(toy.dataset.root / name) as image:
            np.testing.assert_array_equal(row, image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def test_a_pickled_copy_carries_no_pixels(toy: Toy, tmp_path: Path) -> None:
    path = tmp_path / "decoded.safetensors"
    images = images_of(toy, made(toy, path))
    assert_same_items(images, images_of(toy, None))  # this maps the file
    pickled = pickle.dumps(images)
    assert len(pickled) < path.stat().st_size / 10
    assert_same_items(pickle.loads(pickled), images_of(toy, None))


def test_pixels_are_read_only(toy: Toy, tmp_path: Path) -> None:
    images = images_of(toy, made(toy, tmp_path / "decoded.safetensors"))
    with pytest.raises(ValueError, match="read-only"):
        images.views(0).image[0, 0] = 0


def test_a_file_replaced_during_use_stays_mapped_but_is_not_mapped_again(own_toy: Toy, tmp_path: Path) -> None:
    path = tmp_path / "decoded.safetensors"
    images = images_of(own_toy, made(own_toy, path))
    before, pickled = [images[number][0] for number in range(len(images))], pickle.dumps(images)
    replace_image(own_toy, 1)
    made(own_toy, path)
    assert all(torch.equal(images[number][0], before[number]) for number in range(len(images)))
    with pytest.raises(UserError, match=r"decoded\.safetensors: replaced by another run .* run this one again"):
        pickle.loads(pickled)[0]


def test_an_unknown_name_is_refused(toy: Toy, tmp_path: Path) -> None:
    pixels = made(toy, tmp_path / "decoded.safetensors")
    with pytest.raises(UserError, match=rf"1 images are not in it, first other\.jpg; {REMEDY}"):
        pixels.images([names_of(toy)[0], "other.jpg"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": 32}, "size = 48, this run needs 32"),
        ({"dataset": "veri"}, "dataset = folder, this run needs veri"),
        ({"resampling": "bicubic"}, "resampling = bilinear, this run needs bicubic"),
        ({"decoder": "Pillow 1"}, "decoder = Pillow .*, this run needs Pillow 1"),
        ({"format": 3}, "format = 2, this run needs 3"),
        ({"turned": False}, "turned = True, this run needs False"),
    ],
)
def test_a_file_made_from_something_else_is_refused_with_the_difference(
    toy: Toy, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    path = tmp_path / "decoded.safetensors"
    made(toy, path)
    with pytest.raises(UserError, match=rf"decoded\.safetensors: made with {words}; {REMEDY}"):
        open_pixels(path, description(toy) | change)


def test_a_file_of_another_length_is_refused(toy: Toy, tmp_path: Path) -> None:
    path = tmp_path / "decoded.safetensors"
    made(toy, path)
    whole = path.read_bytes()
    header = int.from_bytes(whole[:8], "little")
    for length in (0, 4, 8, 8 + header // 2, 8 + header, len(whole) // 2, len(whole) - 1, len(whole) + 1):
        path.write_bytes((whole + b"\0")[:length])
        with pytest.raises(UserError, match=rf"decoded\.safetensors: damaged.*; {REMEDY}"):
            open_pixels(path, description(toy))


def test_every_flipped_bit_is_found(own_toy: Toy, tmp_path: Path) -> None:
    path, made_from, names = tmp_path / "decoded.safetensors", description(own_toy), names_of(own_toy)
    made(own_toy, path)
    whole, image_bytes = path.read_bytes(), SIZE * SIZE * 3
    start = 8 + int.from_bytes(whole[:8], "little")
    rows = [start + row * image_bytes for row in range(12)]
    for position in (*range(0, start, 7), *rows, *(row - 1 for row in rows[1:]), len(whole) - 1):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=rf"decoded\.safetensors: .*{REMEDY}") as caught:
            open_pixels(path, made_from, threads=2)
        if position >= start:
            first = (position - start) // image_bytes // 5 * 5
            span = f"{names[first]} to {names[min(first + 4, 11)]}"
            assert f"damaged, the pixels of {span} have changed" in str(caught.value)


def test_other_files_are_refused(toy: Toy, tmp_path: Path) -> None:
    path = tmp_path / "decoded.safetensors"
    with pytest.raises(UserError, match=r"decoded\.safetensors: no such file"):
        open_pixels(path, description(toy))
    save_tensors(path, {"weight": torch.zeros(3)}, {"epoch": 1})
    with pytest.raises(UserError, match="not a file of decoded images"):
        open_pixels(path, description(toy))
    path.write_bytes(b"\xff" * 4000)
    with pytest.raises(UserError, match=r"a header of .* bytes"):
        open_pixels(path, description(toy))


def test_a_file_that_cannot_be_read_is_one_line(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "no disk")

    path = tmp_path / "decoded.safetensors"
    made(toy, path)
    monkeypatch.setattr(np, "memmap", refuse)
    with pytest.raises(UserError, match=r"decoded\.safetensors: cannot be read \(no disk\)"):
        open_pixels(path, description(toy))
