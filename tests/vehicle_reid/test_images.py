"""Images as the API accepts them: every form gives the pixels of the file, names are unique, errors are one line."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data_cache.base.errors import UserError
from data_cache.images.loading import ImageError, load_image
from helpers.parts import MakePictures
from vehicle_reid.images import images_of_list, missing_images, named_images, pixels_of


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A JPEG with an EXIF rotation."""
    path = tmp_path / "a.jpg"
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (17, 31, 3)).astype(np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(path, exif=exif)
    return path


def test_every_form_of_an_image_has_the_same_pixels(picture: Path) -> None:
    pixels = load_image(picture)
    assert pixels.shape == (31, 17, 3)
    for source in (picture, str(picture), picture.read_bytes(), pixels, Image.open(picture)):
        np.testing.assert_array_equal(pixels_of(source, "a"), pixels)
    bgr = np.ascontiguousarray(pixels[:, :, ::-1])  # as OpenCV reads it
    turned = pixels_of(bgr[:, :, ::-1], "a")
    np.testing.assert_array_equal(turned, pixels)
    assert torch.from_numpy(turned).shape == (31, 17, 3)  # which a view with negative strides cannot become


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_a_pillow_image_has_the_pixels_of_its_file(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(np.arange(48, dtype=np.uint16).reshape(6, 8) * 1000)
    image = image if mode == "I;16" else Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8) * 5).convert(mode)
    path = tmp_path / f"a.{'jpg' if mode == 'CMYK' else 'png'}"
    image.save(path)
    np.testing.assert_array_equal(pixels_of(Image.open(path), "a"), load_image(path))
    if mode != "CMYK":  # JPEG is lossy
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
def test_an_array_of_another_shape_or_type_is_refused(array: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"^mine: an array of .*; an image must be uint8 \(H, W, 3\), RGB$"):
        pixels_of(array, "mine")


def test_damaged_and_oversized_images_are_refused_in_every_form(picture: Path) -> None:
    cut = picture.read_bytes()[:-200]
    large = np.broadcast_to(np.uint8(0), (8000, 8000, 3))
    whole = io.BytesIO()
    Image.new("1", (8000, 8000)).save(whole, "PNG")
    for source, reason in (
        (cut, "damaged image"),
        (Image.open(io.BytesIO(cut)), "damaged image"),
        (b"GIF89a", "not a JPEG, PNG, WebP or BMP"),
        (large, "over 50 megapixels"),
        (whole.getvalue(), "over 50 megapixels"),
        (Image.new("1", (8000, 8000)), "over 50 megapixels"),
        (Image.new("F", (3, 3)), "floating-point"),
        (Image.new("RGB", (0, 3)), "an array of uint8"),
    ):
        with pytest.raises(ImageError, match=rf"^mine: .*{reason}"):
            pixels_of(source, "mine")


def test_names_are_keys_paths_or_positions(picture: Path) -> None:
    pixels = load_image(picture)
    assert named_images({"x": pixels, "y": picture}).names == ("x", "y")
    assert named_images(picture).names == (str(picture),)
    assert named_images([str(picture), pixels, b""]).names == (str(picture), "image-000001", "image-000002")
    assert named_images(image for image in (pixels, pixels)).names == ("image-000000", "image-000001")
    assert len(named_images([])) == 0


def test_images_of_a_folder_are_named_by_their_relative_paths(tmp_path: Path, make_pictures: MakePictures) -> None:
    make_pictures(tmp_path, ["b.jpg", "deep/a.png"])
    images = named_images(tmp_path)
    assert images.names == ("b.jpg", "deep/a.png") and images.folder is not None
    np.testing.assert_array_equal(images.pixels(1), load_image(tmp_path / "deep/a.png"))


def test_a_list_file_names_images_and_cameras(tmp_path: Path, make_pictures: MakePictures) -> None:
    make_pictures(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    path = tmp_path / "list.txt"
    path.write_text("c.jpg 7\na.jpg\n\nb.jpg 0\n")
    images = images_of_list(path)
    assert images.names == ("c.jpg", "a.jpg", "b.jpg") and images.cameras.tolist() == [7, -1, 0]
    np.testing.assert_array_equal(images.pixels(2), load_image(tmp_path / "b.jpg"))
    for text, words in (
        ("../a.jpg", r"'\.\./a.jpg'"),
        ("a.jpg x", "'x' is not a camera number"),
        ("", "lists no image"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=f"{path}.*{words}"):
            images_of_list(path)


def test_files_that_are_not_in_a_folder_are_missing(tmp_path: Path) -> None:
    names = [f"{number:04d}.jpg" for number in range(2500)]
    for name in names[::2]:
        (tmp_path / name).touch()
    outside = "../" + tmp_path.name + "/0000.jpg"
    assert missing_images(tmp_path, ["0000.jpg", "0001.jpg", outside, ""]) == (["0001.jpg", outside, ""], 4)
    missing, looked_up = missing_images(tmp_path, names)
    assert looked_up <= 1000 and missing == [name for name in names[::3] if int(name[:4]) % 2]
    assert missing_images(tmp_path, []) == ([], 0)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (["a.jpg", "b.jpg", "a.jpg"], "1 image names occur more than once, first a.jpg"),
        ({"a\n": "a.jpg"}, "cannot be an image's name"),
        ({"": "a.jpg"}, "cannot be an image's name"),
        ({"a": 3}, "a: cannot use int as an image"),
        ({3: "a.jpg"}, "3: an image's name must be text"),
    ],
)
def test_invalid_names_and_images_are_refused(images: object, words: str) -> None:
    with pytest.raises(UserError, match=words):
        named_images(images)  # type: ignore[arg-type]


def test_cameras_are_given_for_all_images_by_name_or_one_per_image() -> None:
    images = ["a.jpg", "b.jpg", "c.jpg"]
    for cameras, wanted in ((None, [-1, -1, -1]), (4, [4, 4, 4]), ({"b.jpg": 2}, [-1, 2, -1]), ([3, 1, 2], [3, 1, 2])):
        assert named_images(images, cameras).cameras.tolist() == wanted
    assert named_images(images, [3, 1, 2]).take([2, 0]).cameras.tolist() == [2, 3]
    assert named_images(["c.jpg", "a.jpg"], [3, 1]).sorted_by_name().cameras.tolist() == [1, 3]
    for wrong in ([1, 2], [1.5, 2, 3]):
        with pytest.raises(UserError, match="cameras must be whole numbers"):
            named_images(images, wrong)  # type: ignore[arg-type]
