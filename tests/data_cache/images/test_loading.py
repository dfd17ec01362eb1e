"""One loader for all images: a zoo of good, odd and broken files, and names that try to leave their root."""

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from data_cache.base.errors import UserError
from data_cache.images.loading import MAX_PIXELS, ImageError, load_image, path_inside

HEIGHT, WIDTH = 24, 32


def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def rgb() -> Image.Image:
    return Image.fromarray(pixels())


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_orientation() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees to view"
    return exif


def load(tmp_path: Path, data: bytes, name: str = "image.jpg") -> np.ndarray:
    (tmp_path / name).write_bytes(data)
    return load_image(tmp_path / name)


def test_a_png_is_read_to_the_bit_whatever_its_name(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "none"):
        found = load(tmp_path, encoded(rgb(), "PNG"), name)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, pixels())


def test_grey_is_three_equal_channels(tmp_path: Path) -> None:
    grey = pixels()[..., 0]
    for form in ("PNG", "JPEG"):
        found = load(tmp_path, encoded(Image.fromarray(grey), form, quality=95))
        assert found.shape == (HEIGHT, WIDTH, 3)
        np.testing.assert_array_equal(found[..., 0], found[..., 1])
        np.testing.assert_array_equal(found[..., 0], found[..., 2])
        assert form == "JPEG" or np.array_equal(found[..., 0], grey)


def test_sixteen_bit_grey_keeps_its_high_byte(tmp_path: Path) -> None:
    grey = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) * 85
    found = load(tmp_path, encoded(Image.fromarray(grey), "PNG"))
    np.testing.assert_array_equal(found, np.repeat((grey // 256)[..., None], 3, axis=2))


def test_cmyk_becomes_about_the_same_colours(tmp_path: Path) -> None:
    flat = Image.new("RGB", (WIDTH, HEIGHT), (200, 60, 30))
    found = load(tmp_path, encoded(flat.convert("CMYK"), "JPEG", quality=95))
    assert np.abs(found.astype(int) - (200, 60, 30)).max() < 10


def test_alpha_is_dropped_not_mixed(tmp_path: Path) -> None:
    alpha = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 1), dtype=np.uint8)
    image = Image.fromarray(np.concatenate([pixels(), alpha], axis=2))
    np.testing.assert_array_equal(load(tmp_path, encoded(image, "PNG")), pixels())


@pytest.mark.parametrize("options", [{}, {"transparency": 0}])
def test_a_palette_is_looked_up(tmp_path: Path, options: dict[str, object]) -> None:
    image = rgb().quantize(16)
    palette = np.array(image.getpalette()).reshape(-1, 3)
    found = load(tmp_path, encoded(image, "PNG", **options))
    np.testing.assert_array_equal(found, palette[np.asarray(image)])


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_orientation_stays_as_stored(tmp_path: Path, form: str) -> None:
    plain = load(tmp_path, encoded(rgb(), form))
    turned = load(tmp_path, encoded(rgb(), form, exif=with_orientation()))
    assert turned.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(turned, plain)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_cut_file_is_refused_or_has_all_its_pixels(tmp_path: Path, form: str) -> None:
    whole = encoded(rgb(), form)
    expected = load(tmp_path, whole)
    for length in [*range(0, len(whole), 37), len(whole) // 2, *range(len(whole) - 30, len(whole))]:
        try:
            found = load(tmp_path, whole[:length])
        except ImageError as error:
            assert "image.jpg" in str(error)
        else:  # a PNG ends with 20 bytes of checksums and marks behind its last pixel
            assert form == "PNG" and length >= len(whole) - 20
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a JPEG or PNG"),
        (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "not a JPEG or PNG"),
        (b"\0" * 4096, "not a JPEG or PNG"),
        (b"\xff\xd8\xff", "not a JPEG or PNG|damaged"),
        (encoded(rgb(), "GIF"), "not a JPEG or PNG"),
        (encoded(rgb(), "BMP"), "not a JPEG or PNG"),
        (encoded(rgb(), "TIFF"), "not a JPEG or PNG"),
        (encoded(rgb(), "WEBP"), "not a JPEG or PNG"),
    ],
)
def test_what_is_no_jpeg_and_no_png_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        load(tmp_path, data)


@pytest.mark.parametrize("side", [7_072, 20_480, 2**31 - 1])  # just over the limit, a known bomb, the largest PNG
def test_a_bomb_is_refused_by_its_header(tmp_path: Path, side: int) -> None:
    assert side * side > MAX_PIXELS
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"")) + png_chunk(b"IEND", b"")
    with pytest.raises(ImageError, match=r"over 50 megapixels"):
        load(tmp_path, bomb)


@pytest.mark.filterwarnings("ignore:Invalid APNG")
@pytest.mark.parametrize("kind", [b"gAMA", b"cHRM", b"pHYs", b"tRNS", b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"acTL"])
def test_a_broken_chunk_is_refused_or_passed_over(tmp_path: Path, kind: bytes) -> None:
    whole = encoded(rgb(), "PNG")
    for data in (b"", b"\1", b"\1\2\3", b"\xff" * 40):
        for place in (33, len(whole) - 12):  # behind the header, behind the pixels
            try:
                found = load(tmp_path, whole[:place] + png_chunk(kind, data) + whole[place:])
            except ImageError as error:
                assert "image.jpg" in str(error)
            else:
                np.testing.assert_array_equal(found, pixels())


def test_random_damage_never_raises_anything_else(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    info = PngImagePlugin.PngInfo()
    info.add_text("a", "b", zip=True)
    options = {"exif": with_orientation(), "icc_profile": b"z" * 60, "dpi": (72, 72)}
    images = [encoded(rgb(), "JPEG", **options), encoded(rgb(), "PNG", pnginfo=info, **options)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for data in images * 100:
            damaged = bytearray(data)
            for place in random.integers(0, len(data), 3):
                damaged[place] = random.integers(256)
            try:
                found = load(tmp_path, bytes(damaged))
            except ImageError:
                continue
            assert found.ndim == 3 and found.shape[2] == 3


def test_what_is_no_file_is_refused_and_nothing_waits(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    reasons = {"pipe.jpg": "not a regular file", ".": "not a regular file", "missing.jpg": "no such file"}
    reasons |= {"dangling.jpg": "no such file", "loop.jpg": "symbolic links", "x" * 300: "name too long"}
    for name, reason in reasons.items():
        with pytest.raises(ImageError, match=reason):
            load_image(tmp_path / name)


def test_an_image_error_is_a_fault_of_the_user() -> None:
    assert issubclass(ImageError, UserError)


@pytest.mark.parametrize(
    "name",
    [
        "", "..", "../a.jpg", "a/../../b.jpg", "a/..", "/etc/passwd", "//a.jpg", "a\\b.jpg", "..\\a.jpg", "C:\\a.jpg",
        "a\0.jpg", "\0", "\ud800.jpg",
    ],
)  # fmt: skip
def test_names_that_are_no_plain_relative_path_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError):
        path_inside(tmp_path, name)


def test_links_may_stay_inside_but_not_leave(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "rooted"  # the second begins like the first
    for folder in (root / "deep", outside):
        folder.mkdir(parents=True)
        (folder / "a.jpg").write_bytes(encoded(rgb(), "PNG"))
    (root / "inside.jpg").symlink_to(root / "deep" / "a.jpg")
    (root / "leaves.jpg").symlink_to(outside / "a.jpg")
    (root / "folder").symlink_to(outside)
    (root / "loop").symlink_to(root / "loop")
    assert path_inside(root, "inside.jpg") == root / "inside.jpg"
    for name in ("leaves.jpg", "folder/a.jpg"):
        with pytest.raises(ImageError, match="leads out of"):
            path_inside(root, name)
    with pytest.raises(ImageError, match=r"cannot be resolved|leads out"):
        path_inside(root, "loop/a.jpg")


def test_a_root_that_is_a_link_itself_is_fine(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert path_inside(tmp_path / "link", "sub/ü 1.jpg") == tmp_path / "link" / "sub" / "ü 1.jpg"
