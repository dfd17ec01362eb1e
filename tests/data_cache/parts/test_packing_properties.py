"""Packing of any images and boxes: the cache does not depend on their order, and keeps the best boxes."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from data_cache.parts.cache import PartBoxes, encode_parts, read_parts
from data_cache.parts.names import PART_NAMES
from data_cache.parts.packing import FlatBoxes, ImageEntry, pack_boxes

SIDES = st.integers(1, 500)
Case = tuple[list[ImageEntry], FlatBoxes, int]


@st.composite
def images_with_boxes(draw: st.DrawFn) -> Case:
    """Return images of any names, boxes inside them in any order with many equal scores, and top_k."""
    characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    names = draw(st.lists(st.text(characters, min_size=1), min_size=1, max_size=5, unique=True))
    images = [ImageEntry(name, draw(SIDES), draw(SIDES)) for name in names]
    rows = []
    for _ in range(draw(st.integers(0, 12))):
        image = draw(st.integers(0, len(images) - 1))
        width, height = images[image].width, images[image].height
        x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        box = (x, y, draw(st.integers(x + 1, width)), draw(st.integers(y + 1, height)))
        rows.append((image, *box, draw(st.integers(0, 4)) / 4, draw(st.integers(0, 15))))
    table = np.array(rows, np.float64).reshape(-1, 7)
    boxes = FlatBoxes(
        table[:, 0].astype(np.int64),
        table[:, 1:5].astype(np.float32),
        table[:, 5].astype(np.float32),
        table[:, 6].astype(np.int64),
    )
    return images, boxes, draw(st.integers(1, 4))


def packed(images: list[ImageEntry], boxes: FlatBoxes, top_k: int) -> PartBoxes:
    return pack_boxes(images, boxes, top_k=top_k, part_names=PART_NAMES, fingerprint={"source": "drawn"})


@given(images_with_boxes(), st.randoms(use_true_random=False))
def test_a_cache_does_not_depend_on_the_order_of_images_and_boxes(case: Case, random: Any) -> None:
    images, boxes, top_k = case
    order = random.sample(range(len(images)), len(images))
    new_index = np.argsort(order)
    shuffled = boxes.take(np.array(random.sample(range(len(boxes)), len(boxes)), np.int64))
    shuffled = FlatBoxes(new_index[shuffled.image].astype(np.int64), shuffled.boxes, shuffled.scores, shuffled.labels)
    expected = encode_parts(packed(images, boxes, top_k))
    assert encode_parts(packed([images[index] for index in order], shuffled, top_k)) == expected


@given(images_with_boxes())
def test_any_cache_round_trips_through_its_file(case: Case) -> None:
    parts = packed(*case)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "parts.h5"
        path.write_bytes(encode_parts(parts))
        found = read_parts(path)
    assert found.names == parts.names == tuple(sorted(entry.name for entry in case[0]))
    assert encode_parts(found) == encode_parts(parts)


@given(images_with_boxes())
def test_the_slots_of_an_image_hold_its_best_boxes(case: Case) -> None:
    images, boxes, top_k = case
    parts = packed(images, boxes, top_k)
    for index, entry in enumerate(images):
        scores: NDArray[np.float32] = np.sort(boxes.scores[boxes.image == index])[::-1][:top_k]
        (row,) = parts.rows([entry.name])
        assert parts.scores[row, : len(scores)].tolist() == scores.tolist()
        assert (parts.labels[row] >= 0).sum() == len(scores)
