"""Decoded images are the same items without a pixel copied, and what has changed in their file is found."""

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
    REMEDY,
    SIZE,
    assert_same_items,
    few_rows,
    files_in,
    items,
    made,
    names_of,
    needed,
    repaint,
)
from helpers.toy.vehicles import Toy
from reid.data.decoded import MappedPixels, open_decoded


@pytest.fixture(autouse=True)
def several_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    few_rows(monkeypatch)


@pytest.mark.parametrize("workers", [0, 2])
def test_items_are_the_same_with_and_without_it(toy: Toy, tmp_path: Path, workers: int) -> None:
    kept = made(toy, tmp_path / "decoded.safetensors", workers=workers)
    assert files_in(tmp_path) == ["decoded.safetensors"]
    assert_same_items(items(toy, kept), items(toy, None), workers)
    some = names_of(toy)[::-3]  # neither all of them nor in their order
    assert_same_items(items(toy, kept, some), items(toy, None, some), workers)


def test_any_reader_of_safetensors_finds_the_resized_pictures(toy: Toy, tmp_path: Path) -> None:
    path = tmp_path / "decoded.safetensors"
    made(toy, path)
    with safe_open(path, "numpy") as file:
        pixels = file.get_tensor("pixels")
    names = names_of(toy)
    assert pixels.shape == (len(names), SIZE, SIZE, 3) and pixels.dtype == np.uint8
    for name, row in zip(names, pixels, strict=True):
        with Image.open(toy.dataset.root / name) as picture:
            np.testing.assert_array_equal(row, picture.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def test_the_pixels_stay_behind_when_the_data_set_is_pickled(toy: Toy, tmp_path: Path) -> None:
    path = tmp_path / "decoded.safetensors"
    images = items(toy, made(toy, path))
    assert_same_items(images, items(toy, None))  # they are mapped now
    sent = pickle.dumps(images)
    assert len(sent) < path.stat().st_size / 10
    assert_same_items(pickle.loads(sent), items(toy, None))
    assert_same_items(images, items(toy, None))


def test_the_pixels_cannot_be_written_to(toy: Toy, tmp_path: Path) -> None:
    images = items(toy, made(toy, tmp_path / "decoded.safetensors"))
    with pytest.raises(ValueError, match="read-only"):
        images.pixels(0)[0, 0] = 0


def test_a_file_replaced_in_use_goes_unnoticed_where_it_is_mapped_and_is_refused_elsewhere(
    own_toy: Toy, tmp_path: Path
) -> None:
    path = tmp_path / "decoded.safetensors"
    images = items(own_toy, made(own_toy, path))
    before, sent = [images[number][0] for number in range(len(images))], pickle.dumps(images)
    repaint(own_toy, 1)
    made(own_toy, path)
    assert all(torch.equal(images[number][0], before[number]) for number in range(len(images)))
    with pytest.raises(UserError, match=r"decoded\.safetensors: another run has made it anew .* run this one again"):
        pickle.loads(sent)[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": 32}, "size = 48, this run needs 32"),
        ({"dataset": "veri"}, "dataset = folder, this run needs veri"),
        ({"resampling": "bicubic"}, "resampling = bilinear, this run needs bicubic"),
        ({"decoder": "Pillow 1"}, "decoder = Pillow .*, this run needs Pillow 1"),
        ({"format": 2}, "format = 1, this run needs 2"),
    ],
)
def test_a_file_made_otherwise_is_refused_with_the_difference(
    toy: Toy, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    path = tmp_path / "decoded.safetensors"
    made(toy, path)
    with pytest.raises(UserError, match=rf"decoded\.safetensors: made with {words}; {REMEDY}"):
        open_decoded(path, needed(toy) | change)


def test_a_file_cut_short_or_grown_is_named_and_made_again(toy: Toy, tmp_path: Path) -> None:
    path = tmp_path / "decoded.safetensors"
    made(toy, path)
    whole = path.read_bytes()
    header = int.from_bytes(whole[:8], "little")
    for length in (0, 4, 8, 8 + header // 2, 8 + header, len(whole) // 2, len(whole) - 1, len(whole) + 1):
        path.write_bytes((whole + b"\0")[:length])
        with pytest.raises(UserError, match=rf"decoded\.safetensors: damaged.*; {REMEDY}"):
            open_decoded(path, needed(toy))
    assert_same_items(items(toy, made(toy, path)), items(toy, None))
    assert path.read_bytes() == whole


def test_every_flipped_bit_is_found(own_toy: Toy, tmp_path: Path) -> None:
    path, made_from = tmp_path / "decoded.safetensors", needed(own_toy)
    made(own_toy, path, size=SIZE)
    whole = path.read_bytes()
    begin = 8 + int.from_bytes(whole[:8], "little")
    rows = [begin + row * SIZE * SIZE * 3 for row in range(12)]
    for place in (*range(0, begin, 7), *rows, *(row - 1 for row in rows[1:]), len(whole) - 1):
        harmed = bytearray(whole)
        harmed[place] ^= 1 << (place % 8)
        path.write_bytes(harmed)
        with pytest.raises(UserError, match=rf"decoded\.safetensors: .*{REMEDY}") as caught:
            open_decoded(path, made_from, threads=2)
        if place >= begin:
            first = (place - begin) // (SIZE * SIZE * 3) // 5 * 5
            span = f"{names_of(own_toy)[first]} to {names_of(own_toy)[min(first + 4, 11)]}"
            assert f"damaged, the pixels of {span} have changed" in str(caught.value)
    assert_same_items(items(own_toy, made(own_toy, path)), items(own_toy, None))


def test_what_is_no_such_file_is_named(toy: Toy, tmp_path: Path) -> None:
    path = tmp_path / "decoded.safetensors"
    with pytest.raises(UserError, match=r"decoded\.safetensors: no such file"):
        open_decoded(path, needed(toy))
    save_tensors(path, {"weight": torch.zeros(3)}, {"epoch": 1})
    with pytest.raises(UserError, match="not a file of decoded images"):
        open_decoded(path, needed(toy))
    path.write_bytes(b"\xff" * 4000)
    with pytest.raises(UserError, match=r"a header of .* bytes"):
        open_decoded(path, needed(toy))


def test_the_map_begins_where_it_is_told(tmp_path: Path) -> None:
    path, pixels = tmp_path / "pixels", np.arange(2 * 2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 2, 3)
    path.write_bytes(b"header" + pixels.tobytes())
    np.testing.assert_array_equal(MappedPixels(path, 6, pixels.shape).rows(), pixels)
