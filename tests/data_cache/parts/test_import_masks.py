"""Import of the published part masks: boxes that give the same masks again, and failed rows with their reason."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import data_cache.base.npy
from data_cache.base.errors import UserError
from data_cache.base.files import sha256_of_names
from data_cache.parts.cache import STATUS_EMPTY, STATUS_FAILED, STATUS_FOUND, TURNED
from data_cache.parts.import_masks import import_masks, mask_boxes
from data_cache.parts.verification import fingerprint_errors
from helpers.parts import MakePictures
from helpers.toy.masks import npy, rectangles
from helpers.toy.vehicles import TINY, Toy, train_toy
from reid.data.vehicle_images import part_arrays
from reid.model.pgan import part_masks


def put(folder: Path, name: str, masks: Any) -> None:
    path = (folder / name).with_suffix(".npy")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(masks if isinstance(masks, bytes) else npy(masks))


@pytest.mark.parametrize("size", [(14, 14), (224, 224), (97, 331), (1, 1), (640, 479)])
def test_boxes_rasterise_to_the_masks(tmp_path: Path, size: tuple[int, int]) -> None:
    """Boxes rasterised by stage two (eq. 1) equal the last D masks, the last one first."""
    names = [f"in/{number}.png" for number in range(6)]
    masks = {name: rectangles(20, seed) for seed, name in enumerate(names)}
    for name in names:
        put(tmp_path / "masks", name, masks[name])
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.new("L", size).save(tmp_path / name)
    found = import_masks(tmp_path / "masks", tmp_path, names, dataset="set", top_k=8)
    boxes, labels = part_arrays(found.parts, names, 8)
    rasterised = part_masks(torch.from_numpy(boxes), torch.from_numpy(labels) >= 0, 14, 14).numpy()
    assert found.notes == ("72 masks beyond the 8 most confident of their image were left out",)
    for name, given in zip(names, rasterised, strict=True):
        assert np.array_equal(given[::-1], masks[name][-8:])


@pytest.mark.parametrize("seed", range(3))
def test_extents_equal_a_loop(seed: int) -> None:
    random = np.random.default_rng(seed)
    masks = random.random((40, 14, 14)) < random.choice([0.0, 0.005, 0.02, 0.3], (40, 1, 1))
    wanted, not_rectangular = [], 0
    for mask in masks[::-1]:
        cells = [(row, column) for row in range(14) for column in range(14) if mask[row, column]]
        if cells:
            rows, columns = zip(*cells, strict=True)
            wanted.append((min(columns), min(rows), max(columns) + 1, max(rows) + 1))
            x0, y0, x1, y1 = wanted[-1]
            not_rectangular += len(cells) < (x1 - x0) * (y1 - y0)
    found = mask_boxes(masks)
    assert np.allclose(found.extents * 14, wanted, atol=1e-12)
    assert (found.all_zero, found.not_rectangular) == (40 - len(wanted), not_rectangular)
    assert found.all_zero and found.not_rectangular


def test_scores_express_the_rank_and_the_fingerprint_says_so(tmp_path: Path, make_pictures: MakePictures) -> None:
    names = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    make_pictures(tmp_path, names)
    ragged = rectangles(2)
    ragged[1] = 0
    ragged[1, 2, 3] = ragged[1, 5, 6] = 1
    put(tmp_path / "m", "a", rectangles(3))
    put(tmp_path / "m", "b", np.zeros((0, 14, 14)))
    put(tmp_path / "m", "c", np.zeros((2, 14, 14), bool))
    put(tmp_path / "m", "d", ragged)
    put(tmp_path / "m", "e", rectangles(1))
    found = import_masks(tmp_path / "m", tmp_path, names, dataset="set", top_k=4)
    assert found.parts.scores.tolist() == [[1, 0.75, 0.5, 0], [0] * 4, [0] * 4, [1, 0.75, 0, 0]]
    assert found.parts.labels.tolist() == [[0, 0, 0, -1], [-1] * 4, [-1] * 4, [0, 0, -1, -1]]
    assert found.parts.status.tolist() == [STATUS_FOUND, STATUS_EMPTY, STATUS_EMPTY, STATUS_FOUND]
    assert found.parts.part_names == ("part",)
    assert found.notes == (
        "2 empty masks were dropped",
        "1 masks are not rectangles; their boxes are their extents",
        "1 masks belong to no image and were left out, first e.npy",
    )
    fingerprint = dict(found.parts.fingerprint)
    assert len(fingerprint.pop("masks_sha256")) == 64
    assert fingerprint == {
        **{"source": "part masks", "grid": 14, "scores": "rank only", "dataset": "set", "top_k": 4, **TURNED},
        "names_sha256": sha256_of_names(names),
    }
    assert fingerprint_errors(found.parts) == []


def test_fingerprint_depends_on_the_masks(tmp_path: Path, make_pictures: MakePictures) -> None:
    make_pictures(tmp_path, ["a.jpg", "b.jpg"])

    def fingerprint(first: Any, second: Any) -> Any:
        put(tmp_path / "m", "a", first)
        put(tmp_path / "m", "b", second)
        return import_masks(tmp_path / "m", tmp_path, ["a.jpg", "b.jpg"], dataset=None, top_k=4).parts.fingerprint

    one, two = rectangles(2), rectangles(2, seed=1)
    assert fingerprint(one, two) == fingerprint(one, two)
    assert len({fingerprint(*pair)["masks_sha256"] for pair in ((one, two), (two, one), (one, one))}) == 3


def test_missing_or_damaged_file_is_a_failed_row(tmp_path: Path, make_pictures: MakePictures) -> None:
    names = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    make_pictures(tmp_path, names[:3])
    (tmp_path / "c.jpg").write_text("no picture")
    for name in ("a", "c", "d"):
        put(tmp_path / "m", name, rectangles(2))
    found = import_masks(tmp_path / "m", tmp_path, names, dataset=None, top_k=4).parts
    assert found.status.tolist() == [STATUS_FOUND, STATUS_FAILED, STATUS_FAILED, STATUS_FAILED]
    assert found.failure == (
        "",
        f"{tmp_path / 'm' / 'b.npy'}: cannot be read (No such file or directory)",
        f"{tmp_path / 'c.jpg'}: not a JPEG, PNG, WebP or BMP image",
        f"{tmp_path / 'd.jpg'}: no such file",
    )


def test_folder_without_any_mask_is_refused(tmp_path: Path, make_pictures: MakePictures) -> None:
    make_pictures(tmp_path, ["in/a.jpg", "in/b.jpg"])
    put(tmp_path / "m", "VeRi/in/a", rectangles(2))
    with pytest.raises(UserError, match=r"m: none of 2 images has a mask there, looked for .*m/in/a\.npy; give"):
        import_masks(tmp_path / "m", tmp_path, ["in/a.jpg", "in/b.jpg"], dataset=None, top_k=4)


def test_two_images_with_one_mask_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.jpg and a\.png would share the mask a\.npy"):
        import_masks(tmp_path, tmp_path, ["a.jpg", "a.png", "b.jpg"], dataset=None, top_k=4)


def test_names_and_links_that_lead_out_are_not_followed(tmp_path: Path, make_pictures: MakePictures) -> None:
    make_pictures(tmp_path / "root", ["a.jpg", "b.jpg"])
    put(tmp_path, "secret", rectangles(1))
    put(tmp_path / "m", "a", rectangles(1))
    (tmp_path / "m" / "b.npy").symlink_to(tmp_path / "secret.npy")
    names = ["a.jpg", "b.jpg", "../root/a.jpg"]
    found = import_masks(tmp_path / "m", tmp_path / "root", names, dataset=None, top_k=4).parts
    assert found.names == ("../root/a.jpg", "a.jpg", "b.jpg")
    assert found.status.tolist() == [STATUS_FAILED, STATUS_FOUND, STATUS_FAILED]
    assert "not a relative path" in found.failure[0] and "leads out of" in found.failure[2]


def test_pipe_and_huge_file_are_not_read(
    tmp_path: Path, make_pictures: MakePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pictures(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    put(tmp_path / "m", "a", rectangles(1))
    put(tmp_path / "m", "b", rectangles(30))
    os.mkfifo(tmp_path / "m" / "c.npy")
    monkeypatch.setattr(data_cache.base.npy, "LARGEST_FILE", 2**10)
    found = import_masks(tmp_path / "m", tmp_path, ["a.jpg", "b.jpg", "c.jpg"], dataset=None, top_k=4).parts
    assert found.status.tolist() == [STATUS_FOUND, STATUS_FAILED, STATUS_FAILED]
    assert "b.npy: larger than 0 MiB" in found.failure[1] and "c.npy: cannot be read (not a regular" in found.failure[2]


@pytest.mark.usefixtures("tiny_network")
def test_stage_two_trains_on_imported_masks(toy: Toy, tmp_path: Path) -> None:
    """One part name, no labels, and images without a box."""
    names = toy.dataset.names()
    for number, name in enumerate(names):
        put(tmp_path / "m", name, rectangles(number % 4, seed=number))
    found = import_masks(tmp_path / "m", toy.dataset.root, names, dataset="folder", top_k=3)
    best = train_toy(TINY.model_copy(update={"epochs": 1}), toy._replace(parts=found.parts), tmp_path / "run")
    assert best.is_file()
