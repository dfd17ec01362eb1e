"""Images as the API takes them: every form gives the pixels of the file, each has one name, errors are one line."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_cache.base.errors import UserError
from data_cache.images.loading import ImageError, load_image
from helpers.parts import MakePictures
from vehicle_reid.images import named_images, pixels_of


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A JPEG that is marked as turned."""
    path = tmp_path / "a.jpg"
    pixels = np.random.default_rng(0).integers(0, 256, (17, 31, 3)).astype(np.uint8)
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(path, exif=exif)
    return path


def test_every_form_of_an_image_has_the_same_pixels(picture: Path) -> None:
    wanted = load_image(picture)
    assert wanted.shape == (17, 31, 3)
    for source in (picture, str(picture), picture.read_bytes(), wanted, Image.open(picture)):
        np.testing.assert_array_equal(pixels_of(source, "a"), wanted)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_an_image_of_pillows_is_what_its_file_would_be(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(np.arange(48, dtype=np.uint16).reshape(6, 8) * 1000)
    image = image if mode == "I;16" else Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8) * 5).convert(mode)
    path = tmp_path / f"a.{'jpg' if mode == 'CMYK' else 'png'}"
    image.save(path)
    np.testing.assert_array_equal(pixels_of(Image.open(path), "a"), load_image(path))
    if mode != "CMYK":  # JPEG changes it
        np.testing.assert_array_equal(pixels_of(image, "a"), load_image(path))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 5), np.uint8),
        np.zeros((4, 5, 4), np.uint8),
        np.zeros((4, 5, 3), np.float32),
        np.zeros((2, 4, 5, 3), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
    ],
)
def test_an_array_of_another_kind_is_refused(array: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"^mine: an array of .*; an image is uint8 \(H, W, 3\), RGB$"):
        pixels_of(array, "mine")


def test_damage_and_size_are_refused_in_every_form(picture: Path) -> None:
    cut = picture.read_bytes()[:-200]
    large = np.broadcast_to(np.uint8(0), (8000, 8000, 3))
    whole = io.BytesIO()
    Image.new("1", (8000, 8000)).save(whole, "PNG")
    for source, reason in (
        (cut, "damaged image"),
        (Image.open(io.BytesIO(cut)), "damaged image"),
        (b"GIF89a", "not a JPEG or PNG"),
        (large, "over 50 megapixels"),
        (whole.getvalue(), "over 50 megapixels"),
        (Image.new("1", (8000, 8000)), "over 50 megapixels"),
        (Image.new("F", (3, 3)), "floating-point"),
        (Image.new("RGB", (0, 3)), "an array of uint8"),
    ):
        with pytest.raises(ImageError, match=rf"^mine: .*{reason}"):
            pixels_of(source, "mine")


def test_names_are_keys_paths_or_places(picture: Path) -> None:
    pixels = load_image(picture)
    assert named_images({"x": pixels, "y": picture}).names == ("x", "y")
    assert named_images(picture).names == (str(picture),)
    assert named_images([str(picture), pixels, b""]).names == (str(picture), "image-000001", "image-000002")
    assert named_images(one for one in (pixels, pixels)).names == ("image-000000", "image-000001")
    assert len(named_images([])) == 0


def test_a_folder_is_its_images_by_their_paths_in_it(tmp_path: Path, make_pictures: MakePictures) -> None:
    make_pictures(tmp_path, ["b.jpg", "deep/a.png"])
    found = named_images(tmp_path)
    assert found.names == ("b.jpg", "deep/a.png") and found.folder is not None
    np.testing.assert_array_equal(found.pixels(1), load_image(tmp_path / "deep/a.png"))


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (["a.jpg", "b.jpg", "a.jpg"], "1 images are named twice, first a.jpg"),
        ({"a\n": "a.jpg"}, "cannot be an image's name"),
        ({"": "a.jpg"}, "cannot be an image's name"),
        ({"a": 3}, "a: int is no image"),
        ({3: "a.jpg"}, "3: an image's name is text"),
    ],
)
def test_what_cannot_be_named_is_refused(images: object, words: str) -> None:
    with pytest.raises(UserError, match=words):
        named_images(images)  # type: ignore[arg-type]


def test_cameras_are_one_for_all_by_name_or_one_for_each() -> None:
    images = ["a.jpg", "b.jpg", "c.jpg"]
    for cameras, wanted in ((None, [-1, -1, -1]), (4, [4, 4, 4]), ({"b.jpg": 2}, [-1, 2, -1]), ([3, 1, 2], [3, 1, 2])):
        assert named_images(images, cameras).cameras.tolist() == wanted
    assert named_images(images, [3, 1, 2]).take([2, 0]).cameras.tolist() == [2, 3]
    assert named_images(["c.jpg", "a.jpg"], [3, 1]).by_name().cameras.tolist() == [1, 3]
    for wrong in ([1, 2], [1.5, 2, 3]):
        with pytest.raises(UserError, match="cameras are whole numbers"):
            named_images(images, wrong)  # type: ignore[arg-type]
