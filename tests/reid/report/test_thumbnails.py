"""Pictures of ranked lists: heights, frames, boxes on the right pixels, stronger lines for more attention."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_cache.base.errors import UserError
from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.dataset import Dataset
from data_cache.parts.cache import PartBoxes
from reid.features.file import Features
from reid.report.tiles import (
    FRAME,
    QUERY,
    RIGHT,
    WRONG,
    WeighedBoxes,
    attends_to_parts,
    encode,
    frames_of,
    tile,
    tiles_of,
    weighed_boxes,
)
from reid.retrieval.ranked_lists import Choice, ranked_lists

NOTHING = WeighedBoxes(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), (1, 1))


def grey(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


@pytest.mark.parametrize("size", [(40, 60), (300, 200), (10, 900), (700, 9)])
def test_a_tile_has_its_height_and_its_frame(size: tuple[int, int]) -> None:
    picture = tile(grey(*size), NOTHING, WRONG, height=100)
    pixels = np.asarray(picture)
    assert pixels.shape[0] == 100 + 2 * FRAME
    assert picture.width <= 250 + 2 * FRAME
    for edge in (pixels[:FRAME], pixels[-FRAME:], pixels[:, :FRAME], pixels[:, -FRAME:]):
        assert (edge == WRONG).all()
    height, width = size
    if width <= 2.5 * height:
        assert picture.width - 2 * FRAME == max(1, round(width * 100 / height))
        assert (pixels[FRAME:-FRAME, FRAME:-FRAME] == 128).all()


def test_boxes_lie_on_their_pixels_at_any_scale() -> None:
    for scale in (1, 2):
        boxes = WeighedBoxes(np.array([[20, 10, 60, 40]], np.float32), np.ones(1, np.float32), (100, 50))
        pixels = np.asarray(tile(grey(50, 100), boxes, RIGHT, height=50 * scale))[FRAME:-FRAME, FRAME:-FRAME]
        yellow = (pixels[..., 0].astype(int) - pixels[..., 2]) > 60
        rows, columns = np.flatnonzero(yellow.any(axis=1)), np.flatnonzero(yellow.any(axis=0))
        assert [columns[0], rows[0], columns[-1], rows[-1]] == pytest.approx(
            [20 * scale, 10 * scale, 60 * scale, 40 * scale]
        )


def test_more_attention_is_a_stronger_line() -> None:
    def strength(weights: list[float]) -> list[int]:
        corners = np.array([[5, 5, 35, 45], [55, 5, 85, 45]], np.float32)
        boxes = WeighedBoxes(corners, np.array(weights, np.float32), (100, 50))
        pixels = np.asarray(tile(grey(50, 100), boxes, RIGHT, height=50))[FRAME:-FRAME, FRAME:-FRAME].astype(int)
        changed = np.abs(pixels - 128).sum(axis=2)
        return [int(changed[:, :50].sum()), int(changed[:, 50:].sum())]

    left, right = strength([0.9, 0.1])
    assert left > 1.5 * right > 0
    assert strength([0.1, 0.9]) == pytest.approx([right, left], rel=0.05)
    same = strength([0.5, 0.5])
    assert same[0] == pytest.approx(same[1], rel=0.05)


def test_a_keyed_tile_tells_the_attention_beside_each_box() -> None:
    """The keys are the picture's only difference to the tile without them, and other weights have other keys."""
    corners = np.array([[30, 60, 60, 90], [130, 60, 160, 90]], np.float32)

    def drawn(weights: list[float], *, keyed: bool) -> np.ndarray:
        boxes = WeighedBoxes(corners, np.array(weights, np.float32), (200, 150))
        return np.asarray(tile(grey(150, 200), boxes, RIGHT, height=150, keyed=keyed))[FRAME:-FRAME, FRAME:-FRAME]

    plain, keyed = drawn([0.6, 0.4], keyed=False), drawn([0.6, 0.4], keyed=True)
    changed = (plain != keyed).any(axis=2)
    for half in (changed[:, :100], changed[:, 100:]):
        rows, columns = np.nonzero(half)
        assert 50 < len(rows) and rows.max() - rows.min() < 16 and columns.max() - columns.min() < 30
    assert (drawn([0.61, 0.39], keyed=True) != keyed).any(axis=2).sum() > 5
    assert (drawn([0.6, 0.4], keyed=True) == keyed).all()


def test_the_strongest_parts_come_first() -> None:
    boxes = WeighedBoxes(np.zeros((3, 4), np.float32), np.float32([0.2, 0.5, 0.3]), (9, 9), ("wheel", "logo", "plate"))
    assert [name for name, _ in boxes.strongest(2)] == ["logo", "plate"]
    assert boxes.strongest(9)[2] == ("wheel", pytest.approx(0.2))
    assert NOTHING.strongest(3) == []


def test_boxes_of_another_picture_are_refused() -> None:
    boxes = WeighedBoxes(np.array([[0, 0, 5, 5]], np.float32), np.ones(1, np.float32), (99, 50))
    with pytest.raises(UserError, match=r"\(100, 50\) now and was \(99, 50\)"):
        tile(grey(50, 100), boxes, RIGHT)


@pytest.fixture
def toy(tmp_path: Path) -> tuple[Dataset, PartBoxes, Features]:
    """Three vehicles by three cameras, plain colours; two boxes an image, the attention on the first two places."""
    lines = ["name,vehicle_id,camera_id,split"]
    for vehicle in range(3):
        for camera in range(3):
            lines.append(f"{vehicle}_{camera}.png,v{vehicle},{camera},{'query' if camera == 0 else 'gallery'}")
            Image.new("RGB", (40 + 8 * camera, 30), (60 * vehicle, 90, 120)).save(tmp_path / f"{vehicle}_{camera}.png")
    (tmp_path / "images.csv").write_text("\n".join(lines))
    dataset = load_dataset("folder", tmp_path)
    names = tuple(dataset.names())
    count = len(names)
    boxes = np.zeros((count, 4, 4), np.float32)
    boxes[:, :2] = [[2, 2, 12, 12], [20, 5, 35, 25]]
    labels = np.full((count, 4), -1, np.int8)
    labels[:, :2] = [1, 0]
    scores = np.zeros((count, 4), np.float32)
    scores[:, :2] = [0.9, 0.8]
    size = np.array([[40 + 8 * int(name[2]), 30] for name in names], np.int32)
    parts = PartBoxes(
        names, size, boxes, scores, labels, np.zeros(count, np.uint8), ("",) * count, ("mirror", "wheel"), {}
    )
    random = np.random.default_rng(0)
    matrix = np.eye(3)[[int(name[0]) for name in names]] + 0.1 * random.standard_normal((count, 3))
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    attention = np.tile(np.float32([0.25, 0.75, 0]), (count, 1))
    return dataset, parts, Features(names, matrix.astype(np.float32), attention, {})


def test_the_boxes_shown_are_the_places_the_network_saw(toy: tuple[Dataset, PartBoxes, Features]) -> None:
    _, parts, features = toy
    found = weighed_boxes(parts, features, "1_2.png")
    assert found.boxes.tolist() == [[2, 2, 12, 12], [20, 5, 35, 25]]
    assert found.weights.tolist() == [0.25, 0.75]
    assert found.image_size == (56, 30)
    assert found.parts == ("wheel", "mirror")


@pytest.mark.parametrize("places", [0, 5, 196])
def test_a_network_without_part_attention_shows_no_boxes(toy: tuple[Dataset, PartBoxes, Features], places: int) -> None:
    _, parts, features = toy
    other = Features(features.names, features.matrix, np.full((9, places), 0.005, np.float32), {})
    assert not attends_to_parts(parts, other)
    assert len(weighed_boxes(parts, other, "1_2.png").boxes) == 0


def test_tiles_are_the_query_and_its_list_framed_by_truth(toy: tuple[Dataset, PartBoxes, Features]) -> None:
    dataset, parts, features = toy
    found = ranked_lists(features, dataset, dataset.protocol("test"), Choice(1), top_k=4)[0]
    tiles = tiles_of(found, dataset, parts, features, height=60)
    corners = [picture.getpixel((0, 0)) for picture in tiles]
    assert corners == [QUERY, *(RIGHT if image.right else WRONG for image in found.images)]
    assert RIGHT in corners and WRONG in corners
    assert [name for name, _ in frames_of(found)] == [found.query, *(image.name for image in found.images)]


def test_an_image_that_cannot_be_shown_is_named(toy: tuple[Dataset, PartBoxes, Features]) -> None:
    dataset, parts, features = toy
    found = ranked_lists(features, dataset, dataset.protocol("test"), Choice(1), top_k=4)[0]
    dataset.path(found.images[2].name).write_bytes(b"no picture")
    with pytest.raises(UserError, match=rf"^{found.images[2].name}: no picture of it can be made"):
        tiles_of(found, dataset, parts, features)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_encoding_keeps_size_and_kind(kind: str) -> None:
    picture = Image.open(io.BytesIO(encode(Image.fromarray(grey(20, 30)), kind)))
    assert (picture.size, picture.format) == ((30, 20), kind)
