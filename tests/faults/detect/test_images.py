"""Good, odd and broken images through the real command: each gets its row, and none ends the run."""

import io
import os
import re
import struct
import sys
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cli import main
from data_cache.datasets.lists import CONTROL
from data_cache.parts.cache import STATUS_EMPTY, STATUS_FAILED, STATUS_FOUND, read_parts
from helpers.faults.detection import assert_one_line, here, start
from helpers.faults.processes import Ended
from helpers.places.stand_in import data_set, words, write_list

MEMORY = 200_000  # KiB that a run may need beyond its start; the bomb unpacked takes 410,000 at the least
WIDTH, HEIGHT = 44, 30
ORIENTATION, FIRST = 0x0112, 40
ODD_NAMES = (
    "two words.png", " spaces around .png", "ü ½ 日本 \U0001f697.png", "\u00fc.png", "u\u0308.png",
    "quote\"s', comma.png", "100% #1?&=;$(x)`~.png", "--limit.png", "NA", "1e5", ".hidden.png", "tab\there.png",
    "bell\a\x1b[31m.png", "right \u202e left.png", "line\u2028separator\x85.png", "UPPER.PNG", "n" * 251 + ".png",
    "<b>&amp;.png", "no suffix",
)  # fmt: skip


def picture() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[:4] = pixels[0]  # the stand-in for the detector reads the first row; its first byte
    pixels[:4, :4] = FIRST  # decides the number of parts
    return Image.fromarray(pixels)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


STORED = {  # how a picture is stored that looks upright once its EXIF orientation is applied
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def bomb(side: int = 20_480) -> bytes:
    """Return a black PNG of `side` squared pixels, without ever holding them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer, row = zlib.compressobj(9), bytes(1 + side // 8)
    pixels = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def good_pictures() -> dict[str, tuple[bytes, tuple[int, int]]]:
    """Return content and stored size, by name, of images that must be read."""
    size, grey = (WIDTH, HEIGHT), picture().convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    alpha = picture().convert("RGBA")
    found = {
        "plain.png": (encoded(picture(), "PNG"), size),
        "plain.jpg": (encoded(picture(), "JPEG"), size),
        "grey.jpg": (encoded(grey, "JPEG"), size),
        "grey.png": (encoded(grey, "PNG"), size),
        "deep grey.png": (encoded(deep, "PNG"), size),
        "cmyk.jpg": (encoded(picture().convert("CMYK"), "JPEG"), size),
        "alpha.png": (encoded(alpha, "PNG"), size),
        "grey alpha.png": (encoded(alpha.convert("LA"), "PNG"), size),
        "palette.png": (encoded(picture().quantize(16), "PNG"), size),
        "palette with a hole.png": (encoded(picture().quantize(16), "PNG", transparency=0), size),
        "two colours.png": (encoded(picture().convert("1"), "PNG"), size),
        "progressive.jpg": (encoded(picture(), "JPEG", progressive=True), size),
        "really a png.jpg": (encoded(picture(), "PNG"), size),
        "one pixel.png": (encoded(Image.new("RGB", (1, 1), (FIRST, 90, 90)), "PNG"), (1, 1)),
        "very wide.png": (encoded(Image.new("RGB", (3000, 2), (FIRST, 90, 90)), "PNG"), (3000, 2)),
        "very high.png": (encoded(Image.new("RGB", (2, 3000), (FIRST, 90, 90)), "PNG"), (2, 3000)),
        "deep/deeper/below.png": (encoded(picture(), "PNG"), size),
    }
    for orientation in range(1, 9):
        stored = picture() if orientation == 1 else picture().transpose(STORED[orientation])
        found[f"turned {orientation}.png"] = (encoded(stored, "PNG", exif=turned(orientation)), size)
    return found | {f"odd/{name}": (encoded(picture(), "PNG"), size) for name in ODD_NAMES}


def bad_pictures(root: Path) -> dict[str, str]:
    """Write files that cannot be read; return the reason by name."""
    jpeg, png = encoded(picture(), "JPEG"), encoded(picture(), "PNG")
    contents = {
        "cut.jpg": jpeg[: len(jpeg) // 2],
        "cut.png": png[: len(png) // 2],
        "empty.jpg": b"",
        "zeros.jpg": bytes(4096),
        "page.jpg": b"<!DOCTYPE html><title>404 Not Found</title>",
        "other.jpg": encoded(picture(), "GIF"),
        "bomb.png": bomb(),
    }
    for name, content in contents.items():
        (root / name).write_bytes(content)
    (root / "broken link.jpg").symlink_to(root / "nowhere.jpg")
    (root / "loop.jpg").symlink_to(root / "loop.jpg")
    (root / "link out.png").symlink_to(root.parent / "outside.png")
    (root.parent / "outside.png").write_bytes(png)
    (root / "folder.jpg").mkdir()
    os.mkfifo(root / "pipe.jpg")
    return {
        **{"cut.jpg": "damaged image", "cut.png": "damaged image", "zeros.jpg": "not a JPEG, PNG, WebP or BMP"},
        **{name: "not a JPEG, PNG, WebP or BMP image" for name in ("empty.jpg", "page.jpg", "other.jpg")},
        **{"bomb.png": "over 50 megapixels", "broken link.jpg": "no such file", "missing.jpg": "no such file"},
        **{"link out.png": "leads out of", "loop.jpg": "[Ss]ymlink loop|symbolic links"},
        **{"folder.jpg": "not a regular file", "pipe.jpg": "not a regular file"},
        **{"cut.png/below.png": "Not a directory"},
    }


class Zoo(NamedTuple):
    """A data set of odd images: its folder, the sizes of the good ones, the reasons of the bad ones."""

    root: Path
    sizes: dict[str, tuple[int, int]]
    reasons: dict[str, str]
    unlisted: set[str]  # good ones whose names are not allowed in a list


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """All of the images above in one folder, and a list of them."""
    root = data_set(tmp_path_factory.mktemp("zoo") / "data", 1, damaged=None)
    good = good_pictures()
    for name, (content, _) in good.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / "link inside.png").symlink_to(root / "plain.png")
    sizes = {name: size for name, (_, size) in good.items()} | {"link inside.png": (WIDTH, HEIGHT)}
    reasons = bad_pictures(root)
    unlisted = {name for name in sizes if CONTROL.search(name)}
    sizes = {name: size for name, size in sizes.items() if name not in unlisted}
    write_list(root, [*reasons, *sizes])
    return Zoo(root, sizes, reasons, unlisted)


@pytest.fixture(scope="module")
def ended(zoo: Zoo) -> dict[int, Ended]:
    """Results of runs without and with workers; their caches are beside the data."""
    root = zoo.root
    runs = {
        workers: start(words(root, root.parent / f"{workers}.h5", "--max-failed", "0", workers=workers), log)
        for workers, log in ((number, root.parent / f"{number}.log") for number in (0, 2))
    }
    return {workers: run.wait() for workers, run in runs.items()}


@pytest.mark.parametrize("workers", [0, 2])
def test_every_image_has_its_row_and_a_bad_one_its_reason(zoo: Zoo, ended: dict[int, Ended], workers: int) -> None:
    root, sizes, reasons, _ = zoo
    parts = read_parts(root.parent / f"{workers}.h5")
    assert list(parts.names) == sorted([*sizes, *reasons])
    rows = dict(zip(parts.names, zip(parts.status, parts.image_size.tolist(), parts.failure, strict=True), strict=True))
    for name, size in sizes.items():
        status, found, failure = rows[name]
        assert status in (STATUS_FOUND, STATUS_EMPTY) and tuple(found) == size and failure == "", (name, rows[name])
    for name, reason in reasons.items():
        status, found, failure = rows[name]
        assert status == STATUS_FAILED and found == [0, 0] and re.search(reason, failure), (name, rows[name])


def test_too_many_failures_are_reported_after_the_run(zoo: Zoo, ended: dict[int, Ended]) -> None:
    root, _, reasons, _ = zoo
    for run in ended.values():
        assert_one_line(run, f"{len(reasons)} images failed, more than --max-failed 0")
    assert (root.parent / "0.h5").read_bytes() == (root.parent / "2.h5").read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory in other units")
def test_a_bomb_takes_no_memory(zoo: Zoo, ended: dict[int, Ended]) -> None:
    root = zoo.root
    assert 40_000 < (root / "bomb.png").stat().st_size < 80_000
    assert int((root.parent / "0.memory").read_text()) < MEMORY


def test_an_image_has_the_same_parts_under_every_name_and_orientation(zoo: Zoo, ended: dict[int, Ended]) -> None:
    parts = read_parts(zoo.root.parent / "0.h5")

    def same(pattern: str, plain: str) -> int:
        rows = parts.rows([name for name in parts.names if re.fullmatch(pattern, name)])
        (wanted,) = parts.rows([plain])
        for row in rows:
            assert np.array_equal(parts.boxes[row], parts.boxes[wanted]), parts.names[row]
            assert np.array_equal(parts.labels[row], parts.labels[wanted]), parts.names[row]
        return len(rows)

    assert (parts.labels[parts.rows(["plain.png", "plain.jpg"])] >= 0).any(axis=1).all()
    assert (
        same(r"(odd/.*|turned \d\.png|deep/.*|link inside.*|alpha.*|really a png.*)", "plain.png")
        == len(ODD_NAMES) - len(zoo.unlisted) + 12
    )


def test_the_cache_is_verified(zoo: Zoo, ended: dict[int, Ended]) -> None:
    root, sizes, reasons, _ = zoo
    arguments = ["cache", "verify", str(root.parent / "0.h5"), "--dataset", "folder", "--data-root", str(root)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert f"{len(sizes) + len(reasons)} images" in result.output and f"{len(reasons)} failed" in result.output


def detect_folder(folder: Path, weights: Path, output: Path) -> list[str]:
    return ["detect", "--images", str(folder), "--detector", str(weights), "--output", str(output), "--device", "cpu"]


def test_a_folder_without_a_list_gives_the_same_rows(zoo: Zoo, ended: dict[int, Ended], tmp_path: Path) -> None:
    arguments = detect_folder(zoo.root, zoo.root / "w.safetensors", tmp_path / "parts.h5")
    assert here([*arguments, "--workers", "0"]).code == 0
    parts, listed = read_parts(tmp_path / "parts.h5"), read_parts(zoo.root.parent / "0.h5")
    shared = [name for name in listed.names if name in parts.names]
    absent = {"missing.jpg", "folder.jpg", "cut.png/below.png"}
    unnamed = {"odd/NA", "odd/1e5", "odd/no suffix", "odd/.hidden.png"}  # without a suffix, or hidden: no images
    assert {*listed.names} - {*parts.names} == absent | unnamed
    assert {*parts.names} - {*listed.names} == {"images/0000.png"} | zoo.unlisted
    assert (parts.status[parts.rows(sorted(zoo.unlisted))] != STATUS_FAILED).all() and zoo.unlisted
    for values in ("status", "image_size", "boxes", "scores", "labels"):
        found, wanted = (getattr(cache, values)[cache.rows(shared)] for cache in (parts, listed))
        np.testing.assert_array_equal(found, wanted, err_msg=values)


@pytest.mark.parametrize("name", ["../outside.png", "..\\outside.png", "/etc/hostname", "n" * 300 + ".png", "\a.png"])
def test_a_list_with_names_outside_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    data = data_set(tmp_path / "data", 1, damaged=None)
    write_list(data, ["images/0000.png", name])
    assert_one_line(here(words(data, tmp_path / "parts.h5")), "images.csv, line 3", "is not a relative path below")
    assert not (tmp_path / "parts.h5").exists()


def test_a_name_that_is_not_utf8_is_reported_in_one_line(zoo: Zoo, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in (b"good.png", b"\xff\xfe.png"):
        (tmp_path / "photos" / os.fsdecode(name)).write_bytes(encoded(picture(), "PNG"))
    ended = here(detect_folder(tmp_path / "photos", zoo.root / "w.safetensors", tmp_path / "parts.h5"))
    assert_one_line(ended, "photos", r"\udcff\udcfe.png", "not UTF-8")
    assert not (tmp_path / "parts.h5").exists()
