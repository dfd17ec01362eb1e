"""The image loader on valid, unusual and broken files, and names that point outside their root."""

import io
import os
import shutil
import struct
import tempfile
import warnings
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from data_cache.base.errors import UserError
from data_cache.images.loading import (
    MAX_PIXELS,
    ImageError,
    decode_image,
    image_size,
    images_below,
    load_image,
    path_inside,
    rgb_pixels,
    without_texts,
)
from helpers.parts import MakePictures
from helpers.paths import ROOT

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


def with_orientation(value: int = 6) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value  # 6: rotate by 90 degrees clockwise to view
    return exif


def load(tmp_path: Path, data: bytes, name: str = "image.jpg") -> np.ndarray:
    (tmp_path / name).write_bytes(data)
    return load_image(tmp_path / name)


def test_png_is_read_exactly_whatever_its_suffix(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "none"):
        found = load(tmp_path, encoded(rgb(), "PNG"), name)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, pixels())


def test_grey_becomes_three_equal_channels_and_16_bits_keep_the_high_byte(tmp_path: Path) -> None:
    deep = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) * 85
    for grey, expected in ((pixels()[..., 0], pixels()[..., 0]), (deep, deep // 256)):
        found = load(tmp_path, encoded(Image.fromarray(grey), "PNG"))
        np.testing.assert_array_equal(found, np.repeat(expected[..., None], 3, axis=2))


def test_cmyk_is_converted_to_similar_colours(tmp_path: Path) -> None:
    flat = Image.new("RGB", (WIDTH, HEIGHT), (200, 60, 30))
    found = load(tmp_path, encoded(flat.convert("CMYK"), "JPEG", quality=95))
    assert np.abs(found.astype(int) - (200, 60, 30)).max() < 10


def test_alpha_is_dropped_not_blended(tmp_path: Path) -> None:
    alpha = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 1), dtype=np.uint8)
    image = Image.fromarray(np.concatenate([pixels(), alpha], axis=2))
    np.testing.assert_array_equal(load(tmp_path, encoded(image, "PNG")), pixels())


@pytest.mark.parametrize("options", [{}, {"transparency": 0}])
def test_palette_is_applied(tmp_path: Path, options: dict[str, object]) -> None:
    image = rgb().quantize(16)
    palette = np.array(image.getpalette()).reshape(-1, 3)
    found = load(tmp_path, encoded(image, "PNG", **options))
    np.testing.assert_array_equal(found, palette[np.asarray(image)])


TURNED = {  # by EXIF 2.3: which side of the scene the first row and the first column of the stored image are
    1: lambda stored: stored,  # top, left
    2: lambda stored: stored[:, ::-1],  # top, right
    3: lambda stored: stored[::-1, ::-1],  # bottom, right
    4: lambda stored: stored[::-1],  # bottom, left
    5: lambda stored: stored.swapaxes(0, 1),  # left, top
    6: lambda stored: stored[::-1].swapaxes(0, 1),  # right, top
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),  # right, bottom
    8: lambda stored: stored[:, ::-1].swapaxes(0, 1),  # left, bottom
}


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("value", [*TURNED, 0, 9, 65535])
def test_images_are_turned_as_exif_says(tmp_path: Path, form: str, value: int) -> None:
    options = {"lossless": True} if form == "WEBP" else {}
    stored = load(tmp_path, encoded(rgb(), form, **options))
    expected = TURNED.get(value, TURNED[1])(stored)
    data = encoded(rgb(), form, exif=with_orientation(value), **options)
    np.testing.assert_array_equal(load(tmp_path, data), expected)
    np.testing.assert_array_equal(decode_image(data, "x"), expected)
    with Image.open(tmp_path / "image.jpg") as image:
        np.testing.assert_array_equal(rgb_pixels(image, "x"), expected)
    assert image_size(tmp_path / "image.jpg") == expected.shape[1::-1]
    np.testing.assert_array_equal(load_image(tmp_path / "image.jpg", turned=False), stored)
    assert image_size(tmp_path / "image.jpg", turned=False) == (WIDTH, HEIGHT)


def test_damaged_exif_data_turn_nothing(tmp_path: Path) -> None:
    plain = load(tmp_path, encoded(rgb(), "PNG"))
    whole = with_orientation().tobytes()
    for exif in (b"Exif\0\0", b"Exif\0\0MM", whole[:12], b"\xff" * 20):
        data = encoded(rgb(), "PNG", exif=exif)
        np.testing.assert_array_equal(load(tmp_path, data), plain)
        assert image_size(tmp_path / "image.jpg") == (WIDTH, HEIGHT)


@pytest.mark.parametrize("form", ["BMP", "WEBP"])
def test_other_formats_are_read_exactly(tmp_path: Path, form: str) -> None:
    options = {"lossless": True} if form == "WEBP" else {}
    np.testing.assert_array_equal(load(tmp_path, encoded(rgb(), form, **options), "image.x"), pixels())
    assert image_size(tmp_path / "image.x") == (WIDTH, HEIGHT)


def test_heic_is_read_with_its_extra_and_otherwise_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = ROOT / "tests/fixtures/gradient.heic"  # 64 x 48: red 4 x, green 5 y, blue 90, compressed
    monkeypatch.setattr("data_cache.images.loading._reads_heif", lambda: False)
    with pytest.raises(ImageError, match=r"gradient\.heic: not a .* image; for HEIC install .*\[heic\]"):
        load_image(picture)
    with pytest.raises(UserError, match=r"contains no images .*1 \.heic.*; for HEIC install"):
        images_below_only(picture)
    monkeypatch.undo()
    pytest.importorskip("pi_heif", reason="needs the extra heic")
    y, x = np.mgrid[:48, :64]
    expected = np.stack([4 * x, 5 * y, np.full_like(x, 90)], axis=-1)
    assert np.abs(load_image(picture) - expected).mean() < 4 and image_size(picture) == (64, 48)


def images_below_only(picture: Path) -> list[str]:
    """Call images_below on a folder that holds this picture alone."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(picture, folder)
        return images_below(Path(folder))


def test_png_with_long_texts_and_profile_is_read(tmp_path: Path) -> None:
    long = zlib.compress(b"x" * 5_000_000)  # longer than Pillow's limit for one text
    whole = encoded(rgb(), "PNG")
    start, end = 33, len(whole) - 12  # after the header, before the end marker
    for kind, data in {b"iCCP": b"p\0\0" + long, b"zTXt": b"t\0\0" + long, b"iTXt": b"t\0\1\0\0\0" + long}.items():
        for place in (start, end):
            found = load(tmp_path, whole[:place] + png_chunk(kind, data) + whole[place:])
            np.testing.assert_array_equal(found, pixels())
            assert image_size(tmp_path / "image.jpg") == (WIDTH, HEIGHT)
    cut = whole[:start] + png_chunk(b"iCCP", b"p\0\0" + long) + whole[start : end - 20]
    with pytest.raises(ImageError, match="damaged image"):
        load(tmp_path, cut)


def test_texts_are_removed_from_a_png_and_nothing_else() -> None:
    text, whole = png_chunk(b"tEXt", b"a\0b"), encoded(rgb(), "PNG")
    jpeg = encoded(rgb(), "JPEG")
    assert without_texts(jpeg) == jpeg and without_texts(b"") == b""
    for place in (33, len(whole) - 12):
        assert without_texts(whole[:place] + text + whole[place:]) == whole
    for length in range(len(whole)):
        assert without_texts(whole[:length]) == whole[:length]


def test_nothing_is_warned_of(tmp_path: Path) -> None:
    image = rgb().quantize(16)
    data = encoded(image, "PNG", transparency=bytes(range(16)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = load(tmp_path, data)
    palette = np.array(image.getpalette()).reshape(-1, 3)
    np.testing.assert_array_equal(found, palette[np.asarray(image)])


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_data_is_not_warned_of(form: str) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0132] = 6, "maker" * 20, "2020:01:01 00:00:00"
    whole, random = encoded(rgb(), form, exif=exif.tobytes()), np.random.default_rng(0)
    start = max(whole.find(b"II*\0"), whole.find(b"MM\0*"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(300):
            damaged = bytearray(whole)
            for place in random.integers(start, start + 150, 3):
                damaged[place] = random.integers(256)
            with suppress(ImageError):  # a PNG has a checksum of it
                decode_image(bytes(damaged), "a")


@pytest.mark.parametrize(("suffix", "mode"), [("jpg", "RGB"), ("jpg", "L"), ("png", "RGBA"), ("png", "P")])
def test_image_size_is_that_of_the_decoded_image(tmp_path: Path, suffix: str, mode: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.new(mode, (31, 17)).save(path)
    height, width, _ = load_image(path).shape
    assert image_size(path) == (width, height) == (31, 17)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_truncated_file_is_refused_unless_all_pixels_are_there(tmp_path: Path, form: str) -> None:
    whole = encoded(rgb(), form)
    expected = load(tmp_path, whole)
    sizes = set()
    for length in [*range(0, len(whole), 37), len(whole) // 2, *range(len(whole) - 30, len(whole))]:
        try:
            found = load(tmp_path, whole[:length])
        except ImageError as error:
            assert "image.jpg" in str(error)
        else:  # the last 20 bytes of a PNG are checksums and the end marker
            assert form == "PNG" and length >= len(whole) - 20
            np.testing.assert_array_equal(found, expected)
        try:
            sizes.add(image_size(tmp_path / "image.jpg"))
        except ImageError as error:
            assert "image.jpg" in str(error)
    assert sizes == {(WIDTH, HEIGHT)}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        b"\0" * 4096,
        *(encoded(rgb(), form) for form in ("GIF", "TIFF")),
    ],
)
def test_other_formats_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ImageError, match="not a JPEG, PNG, WebP or BMP image"):
        load(tmp_path, data)
    with pytest.raises(ImageError, match=r"image\.jpg: not a JPEG, PNG, WebP or BMP image"):
        image_size(tmp_path / "image.jpg")


@pytest.mark.parametrize("side", [7_072, 20_480, 2**31 - 1])  # just over the limit, a bomb, the largest PNG
def test_decompression_bomb_is_refused_by_its_header(tmp_path: Path, side: int) -> None:
    assert side * side > MAX_PIXELS
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"")) + png_chunk(b"IEND", b"")
    with pytest.raises(ImageError, match=r"over 50 megapixels"):
        load(tmp_path, bomb)
    with pytest.raises(ImageError, match=r"over 50 megapixels"):
        image_size(tmp_path / "image.jpg")


@pytest.mark.filterwarnings("ignore:Invalid APNG")
@pytest.mark.parametrize("kind", [b"gAMA", b"cHRM", b"pHYs", b"tRNS", b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"acTL"])
def test_broken_png_chunk_is_refused_or_ignored(tmp_path: Path, kind: bytes) -> None:
    whole = encoded(rgb(), "PNG")
    for data in (b"", b"\1", b"\1\2\3", b"\xff" * 40):
        for place in (33, len(whole) - 12):  # after the header, after the pixels
            try:
                found = load(tmp_path, whole[:place] + png_chunk(kind, data) + whole[place:])
            except ImageError as error:
                assert "image.jpg" in str(error)
            else:
                np.testing.assert_array_equal(found, pixels())


def test_random_damage_raises_only_image_errors(tmp_path: Path) -> None:
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


def test_paths_that_are_not_regular_files_are_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    reasons = {"pipe.jpg": "not a regular file", ".": "not a regular file", "missing.jpg": "no such file"}
    reasons |= {"dangling.jpg": "no such file", "loop.jpg": "symbolic links", "x" * 300: "name too long"}
    for name, reason in reasons.items():
        for read in (load_image, image_size):
            with pytest.raises(ImageError, match=reason):
                read(tmp_path / name)


@pytest.mark.parametrize(
    "name",
    [
        "", "..", "../a.jpg", "a/../../b.jpg", "a/..", "/etc/passwd", "//a.jpg", "a\\b.jpg", "..\\a.jpg", "C:\\a.jpg",
        "a\0.jpg", "\0", "\ud800.jpg",
    ],
)  # fmt: skip
def test_names_that_are_not_plain_relative_paths_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError):
        path_inside(tmp_path, name)


def test_links_must_stay_inside_the_root(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "rooted"  # one is a prefix of the other
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


def test_links_may_lead_to_folders_that_the_user_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("root", "disk/cars", "other"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.jpg").write_bytes(encoded(rgb(), "PNG"))
    (tmp_path / "root/train").symlink_to(tmp_path / "disk/cars")
    (tmp_path / "root/b.jpg").symlink_to(tmp_path / "other/a.jpg")
    monkeypatch.setenv("VEHICLE_LINKS", os.pathsep.join(["", str(tmp_path / "nowhere"), str(tmp_path / "disk")]))
    assert path_inside(tmp_path / "root", "train/a.jpg") == tmp_path / "root/train/a.jpg"
    with pytest.raises(ImageError, match=rf"leads out of .*, to {tmp_path}/other/a\.jpg; VEHICLE_LINKS=FOLDER allows"):
        path_inside(tmp_path / "root", "b.jpg")
    with pytest.raises(ImageError, match="not a relative path"):
        path_inside(tmp_path / "root", "../disk/cars/a.jpg")


def test_root_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert path_inside(tmp_path / "link", "sub/ü 1.jpg") == tmp_path / "link" / "sub" / "ü 1.jpg"


def test_images_are_found_below_a_folder(
    tmp_path: Path, make_pictures: MakePictures, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["b.jpg", "in/a.JPG", "in/c.png", "in/d.jfif", "in/e.jpe", "in/f.webp", "in/g.bmp"]
    hidden = ["._b.jpg", ".ipynb_checkpoints/b.jpg", "__MACOSX/in/a.jpg", "in/@eaDir/a.jpg", "Thumbs.db"]
    for name in (*names, *hidden):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.jpg").mkdir()
    assert images_below(tmp_path) == names and not capsys.readouterr().err
    for name in ("notes.txt", "in/scan.tif", "in/scan.TIF", "README"):
        (tmp_path / name).write_text("")
    assert images_below(tmp_path) == names
    assert capsys.readouterr().err.strip().endswith(": 7 images; passed over 2 .tif, 1 without a suffix, 1 .txt")
    (tmp_path / "in\\a.jpg").write_text("")
    with pytest.raises(
        UserError, match=r"1 file names contain backslashes, first in\\a\.jpg: an archive made on Windows"
    ):
        images_below(tmp_path)
    (tmp_path / "in\\a.jpg").unlink()
    (tmp_path / "in" / os.fsdecode(b"\xff.jpg")).write_text("")
    with pytest.raises(UserError, match=r"the file name 'in/\\udcff\.jpg' is not UTF-8") as caught:
        images_below(tmp_path)
    assert str(caught.value).isprintable()
    with pytest.raises(UserError, match=r"folder\.jpg: contains no images"):
        images_below(tmp_path / "folder.jpg")
    with pytest.raises(UserError, match=r"nowhere: cannot be read \(No such file"):
        images_below(tmp_path / "nowhere")


def test_link_to_a_folder_is_skipped_with_a_message(
    tmp_path: Path, make_pictures: MakePictures, capsys: pytest.CaptureFixture[str]
) -> None:
    make_pictures(tmp_path / "photos", ["a.jpg"])
    make_pictures(tmp_path / "camera", ["b.jpg"])
    (tmp_path / "photos" / "linked").symlink_to(tmp_path / "camera")
    assert images_below(tmp_path / "photos") == ["a.jpg"]
    assert f"{tmp_path}/photos/linked: links to folders are not followed" in capsys.readouterr().err
