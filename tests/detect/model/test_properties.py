"""Boxes and part caches, whatever the numbers: the cache's contract is kept, and nothing depends on an order."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from data_cache.parts.cache import PartBoxes, encode_parts, read_parts
from data_cache.parts.names import PART_NAMES
from data_cache.parts.packing import ImageEntry, LooseBoxes, pack_boxes
from detect.model.nms import PartBatch, finish
from helpers.naive.parts import assert_same, naive_parts
from helpers.toy.annotations import TINY

SIDES = st.integers(1, 500)
# numbers anywhere, and many on a coarse grid, so that boxes touch, coincide and have no area
NUMBERS = st.one_of(st.floats(width=32), st.integers(-4, 12).map(lambda number: 10.0 * number))
SCORES = st.one_of(st.floats(width=32), st.integers(-1, 9).map(lambda number: number / 8))
CANDIDATES = st.lists(st.tuples(*[NUMBERS] * 4, SCORES, st.integers(0, 3)), max_size=12)


@given(CANDIDATES, SIDES, SIDES)
def test_of_any_numbers_the_sound_boxes_remain_as_the_definition_says(
    rows: list[tuple[Any, ...]], width: int, height: int
) -> None:
    table = np.array(rows, np.float64).reshape(-1, 6)
    boxes, scores, labels = (
        table[:, :4].astype(np.float32),
        table[:, 4].astype(np.float32),
        table[:, 5].astype(np.int64),
    )
    found = PartBatch(*(torch.from_numpy(array)[None] for array in (boxes, scores, labels)))
    parts = finish(found, torch.tensor([[width, height]]), TINY)
    (own,) = parts.split()
    assert_same(own, naive_parts(boxes, scores, labels, (width, height), TINY))
    PartBoxes(  # refuses what breaks the contract
        names=("a",),
        image_size=np.array([(width, height)], np.int32),
        boxes=parts.boxes.numpy(),
        scores=parts.scores.numpy(),
        labels=parts.labels.numpy().astype(np.int8),
        status=np.array([0 if len(own) else 1], np.uint8),
        failure=("",),
        part_names=PART_NAMES,
        fingerprint={},
    )


@st.composite
def images_with_boxes(draw: st.DrawFn) -> tuple[list[ImageEntry], LooseBoxes, int]:
    """Images of any names, some failed, and boxes inside them in any order, with many equal scores."""
    names = draw(
        st.lists(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
            min_size=1,
            max_size=5,
            unique=True,
        )
    )
    images = [ImageEntry(name, draw(SIDES), draw(SIDES)) for name in names]
    rows = []
    for _ in range(draw(st.integers(0, 12))):
        image = draw(st.integers(0, len(images) - 1))
        width, height = images[image].width, images[image].height
        x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        box = (x, y, draw(st.integers(x + 1, width)), draw(st.integers(y + 1, height)))
        rows.append((image, *box, draw(st.integers(0, 4)) / 4, draw(st.integers(0, 15))))
    table = np.array(rows, np.float64).reshape(-1, 7)
    loose = LooseBoxes(
        table[:, 0].astype(np.int64),
        table[:, 1:5].astype(np.float32),
        table[:, 5].astype(np.float32),
        table[:, 6].astype(np.int64),
    )
    return images, loose, draw(st.integers(1, 4))


def packed(images: list[ImageEntry], loose: LooseBoxes, places: int) -> PartBoxes:
    return pack_boxes(images, loose, places=places, part_names=PART_NAMES, fingerprint={"source": "drawn"})


@given(images_with_boxes(), st.randoms(use_true_random=False))
def test_a_cache_does_not_depend_on_the_order_of_images_and_boxes(
    drawn: tuple[list[ImageEntry], LooseBoxes, int], random: Any
) -> None:
    images, loose, places = drawn
    wanted = encode_parts(packed(images, loose, places))
    order = random.sample(range(len(images)), len(images))
    place_of = np.argsort(order)
    rows = np.array(random.sample(range(len(loose)), len(loose)), np.int64)
    turned = loose.take(rows)
    turned = LooseBoxes(place_of[turned.image].astype(np.int64), turned.boxes, turned.scores, turned.labels)
    assert encode_parts(packed([images[number] for number in order], turned, places)) == wanted


@given(images_with_boxes())
def test_any_cache_comes_back_from_its_file(drawn: tuple[list[ImageEntry], LooseBoxes, int]) -> None:
    parts = packed(*drawn)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "parts.h5"
        path.write_bytes(encode_parts(parts))
        found = read_parts(path)
    assert found.names == parts.names == tuple(sorted(entry.name for entry in drawn[0]))
    assert encode_parts(found) == encode_parts(parts)


@given(images_with_boxes())
def test_the_places_of_an_image_hold_its_best_boxes(drawn: tuple[list[ImageEntry], LooseBoxes, int]) -> None:
    images, loose, places = drawn
    parts = packed(images, loose, places)
    for number, entry in enumerate(images):
        scores: NDArray[np.float32] = np.sort(loose.scores[loose.image == number])[::-1][:places]
        (row,) = parts.rows([entry.name])
        assert parts.scores[row, : len(scores)].tolist() == scores.tolist()
        assert (parts.labels[row] >= 0).sum() == len(scores)
