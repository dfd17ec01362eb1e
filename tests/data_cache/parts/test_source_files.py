"""What is known of images without decoding them: sizes from headers, names below a folder, clear errors."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_cache.base.errors import UserError
from data_cache.images.loading import ImageError, image_size, images_below, load_image
from helpers.parts import MakePictures


@pytest.mark.parametrize(("suffix", "mode"), [("jpg", "RGB"), ("jpg", "L"), ("png", "RGBA"), ("png", "P")])
def test_the_size_is_that_of_the_decoded_image(tmp_path: Path, suffix: str, mode: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.new(mode, (31, 17)).save(path)
    height, width, _ = load_image(path).shape
    assert image_size(path) == (width, height) == (31, 17)


def test_a_rotation_in_exif_is_not_applied(tmp_path: Path) -> None:
    path, picture = tmp_path / "a.jpg", Image.new("RGB", (31, 17))
    exif = picture.getexif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees
    picture.save(path, exif=exif)
    assert image_size(path) == (31, 17)


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("<html>")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "folder.jpg").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "gif.jpg", format="GIF")
    os.mkfifo(tmp_path / "pipe.jpg")
    for name in ("text", "empty", "gif"):
        with pytest.raises(ImageError, match=rf"{name}\.jpg: not a JPEG or PNG image"):
            image_size(tmp_path / f"{name}.jpg")
    for name in ("folder", "pipe"):
        with pytest.raises(ImageError, match=rf"{name}\.jpg: not a regular file"):
            image_size(tmp_path / f"{name}.jpg")
    with pytest.raises(ImageError, match=r"absent\.jpg: no such file"):
        image_size(tmp_path / "absent.jpg")


def test_a_cut_header_is_refused_and_no_cut_ends_otherwise(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for suffix in ("jpg", "png"):
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(random.integers(0, 255, (8, 8, 3)).astype(np.uint8)).save(path)
        whole = path.read_bytes()
        sizes = set()
        for length in range(0, len(whole), 3):
            path.write_bytes(whole[:length])
            try:
                sizes.add(image_size(path))
            except ImageError as error:
                assert str(path) in str(error)
        assert sizes == {(8, 8)}


@pytest.mark.parametrize("side", [7_100, 20_000])  # above the limit, and above Pillow's own
def test_a_picture_of_too_many_pixels_is_refused(tmp_path: Path, side: int) -> None:
    path = tmp_path / "a.png"
    Image.new("1", (side, side)).save(path)
    with pytest.raises(ImageError, match=r"a\.png: "):
        image_size(path)


def test_images_are_found_below_a_folder(tmp_path: Path, make_pictures: MakePictures) -> None:
    make_pictures(tmp_path, ["b.jpg", "in/a.JPG", "in/c.png"])
    (tmp_path / "in" / "notes.txt").write_text("")
    (tmp_path / "folder.jpg").mkdir()
    assert images_below(tmp_path) == ["b.jpg", "in/a.JPG", "in/c.png"]
    (tmp_path / "in" / os.fsdecode(b"\xff.jpg")).write_text("")
    with pytest.raises(UserError, match=r"the name of 'in/\\udcff\.jpg' is not UTF-8") as caught:
        images_below(tmp_path)
    assert str(caught.value).isprintable()
    with pytest.raises(UserError, match=r"folder\.jpg: no images there or below"):
        images_below(tmp_path / "folder.jpg")
    with pytest.raises(UserError, match=r"nowhere: cannot be read \(No such file"):
        images_below(tmp_path / "nowhere")


def test_a_folder_behind_a_link_is_left_out_and_told(
    tmp_path: Path, make_pictures: MakePictures, capsys: pytest.CaptureFixture[str]
) -> None:
    make_pictures(tmp_path / "photos", ["a.jpg"])
    make_pictures(tmp_path / "camera", ["b.jpg"])
    (tmp_path / "photos" / "linked").symlink_to(tmp_path / "camera")
    assert images_below(tmp_path / "photos") == ["a.jpg"]
    assert f"{tmp_path}/photos/linked: a link to a folder, which is not followed" in capsys.readouterr().err
