"""Packing of boxes as in a naive loop; a cache of another fingerprint is not overwritten."""

import dataclasses
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_cache.base.errors import UserError
from data_cache.base.files import sha256_of_names
from data_cache.parts.cache import STATUS_EMPTY, STATUS_FAILED, STATUS_FOUND, PartBoxes, encode_parts, read_parts
from data_cache.parts.packing import FlatBoxes, ImageEntry, ImportResult, pack_boxes, write_cache
from helpers.parts import MakeParts

NAMES = ("part a", "part b", "part c")


def flat_boxes(count: int, images: int, seed: int = 0) -> FlatBoxes:
    """Return boxes in random order, with few scores and corners, so that there are ties."""
    random = np.random.default_rng(seed)
    corners = np.concatenate([random.integers(0, 3, (count, 2)), random.integers(4, 7, (count, 2))], axis=1)
    scores = random.integers(1, 4, count) / 4
    labels = random.integers(0, 3, count)
    return FlatBoxes(random.integers(0, images, count), corners.astype(np.float32), scores.astype(np.float32), labels)


def pack(images: list[ImageEntry], boxes: FlatBoxes, top_k: int) -> PartBoxes:
    return pack_boxes(images, boxes, top_k=top_k, part_names=NAMES, fingerprint={"source": "test"})


@pytest.mark.parametrize("top_k", [1, 3, 9, 100])
def test_boxes_are_packed_as_in_a_loop(top_k: int) -> None:
    images = [ImageEntry(name, 10, 8) for name in ("c", "a", "d", "b", "e")]
    boxes = flat_boxes(60, 4)  # the last image has none
    packed = pack(images, boxes, top_k)
    assert packed.names == ("a", "b", "c", "d", "e")
    for row, name in enumerate(packed.names):
        (number,) = [index for index, entry in enumerate(images) if entry.name == name]
        wanted = sorted(
            (-score, *corners, label)
            for image, corners, score, label in zip(
                boxes.image.tolist(), boxes.boxes.tolist(), boxes.scores.tolist(), boxes.labels.tolist(), strict=True
            )
            if image == number
        )[:top_k]
        kept = zip(packed.scores[row].tolist(), packed.boxes[row].tolist(), packed.labels[row].tolist(), strict=True)
        assert [(-score, *corners, label) for score, corners, label in kept if label >= 0] == wanted
        assert packed.status[row] == (STATUS_FOUND if wanted else STATUS_EMPTY)


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
        rows.append((image, *box, draw(st.integers(0, 4)) / 4, draw(st.integers(0, 2))))
    table = np.array(rows, np.float64).reshape(-1, 7)
    boxes = FlatBoxes(
        table[:, 0].astype(np.int64),
        table[:, 1:5].astype(np.float32),
        table[:, 5].astype(np.float32),
        table[:, 6].astype(np.int64),
    )
    return images, boxes, draw(st.integers(1, 4))


@given(images_with_boxes(), st.randoms(use_true_random=False))
def test_order_of_images_and_boxes_does_not_matter(case: Case, random: Any) -> None:
    images, boxes, top_k = case
    order = random.sample(range(len(images)), len(images))
    new_index = np.argsort(order)
    shuffled = boxes.take(np.array(random.sample(range(len(boxes)), len(boxes)), np.int64))
    shuffled = FlatBoxes(new_index[shuffled.image].astype(np.int64), shuffled.boxes, shuffled.scores, shuffled.labels)
    expected = encode_parts(pack(images, boxes, top_k))
    assert encode_parts(pack([images[index] for index in order], shuffled, top_k)) == expected


@given(images_with_boxes())
def test_packed_cache_round_trips_through_its_file(case: Case) -> None:
    parts = pack(*case)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "parts.h5"
        path.write_bytes(encode_parts(parts))
        found = read_parts(path)
    names = sorted(entry.name for entry in case[0])
    assert found.names == parts.names == tuple(names)
    assert found.fingerprint == {
        "source": "test",
        "orientation": "EXIF",
        "names_sha256": sha256_of_names(names),
        "top_k": case[2],
    }
    assert encode_parts(found) == encode_parts(parts)


def test_failed_image_has_its_reason() -> None:
    images = [ImageEntry("b", 0, 0, "b: no such file"), ImageEntry("a", 10, 8)]
    packed = pack(images, FlatBoxes(np.array([1]), np.float32([[0, 0, 1, 1]]), np.float32([0.5]), np.array([2])), 2)
    assert packed.status.tolist() == [STATUS_FOUND, STATUS_FAILED]
    assert packed.failure == ("", "b: no such file")
    summary = ImportResult(packed, ("one thing",)).to_dict(Path("p.h5"))
    assert summary == {
        **{"output": "p.h5", "images": 2, "boxes": 1, "found": 1, "empty": 0, "failed": 1},
        **{"first_failure": "b (b: no such file)", "notes": ["one thing"]},
    }
    assert ImportResult(packed, ()).line(Path("p.h5")) == (
        "p.h5: 2 images, 1 boxes, 0 empty, 1 failed, first b (b: no such file)"
    )


def test_contract_violations_are_refused() -> None:
    with pytest.raises(UserError, match="not sorted and unique"):
        pack([ImageEntry("a", 10, 8), ImageEntry("a", 10, 8)], flat_boxes(0, 1), 2)
    with pytest.raises(UserError, match="a: a box is not finite, has no area or is outside its image"):
        pack([ImageEntry("a", 3, 3)], flat_boxes(4, 1), 4)


def test_cache_with_another_fingerprint_is_not_overwritten(tmp_path: Path, make_parts: MakeParts) -> None:
    path, parts = tmp_path / "parts.h5", make_parts()
    write_cache(path, parts)
    write_cache(path, parts)  # the same fingerprint
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"parts\.h5: made with detector = toy, this run needs other; delete it"):
        write_cache(path, make_parts(detector="other"))
    with pytest.raises(UserError, match=r"do that instead$"):
        write_cache(path, dataclasses.replace(parts, fingerprint={}), "do that instead")
    assert path.read_bytes() == before
    path.write_bytes(b"something else")
    with pytest.raises(UserError, match="not a part cache"):
        write_cache(path, parts)
    assert path.read_bytes() == b"something else"
