"""The image loader that both stages share, so that cached boxes refer to the same pixels everywhere."""

import io
import stat
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from data_cache.base.errors import UserError
from data_cache.base.files import files_below

FORMATS = ("JPEG", "PNG")
SUFFIXES = (".jpg", ".jpeg", ".png")
MAX_PIXELS = 50_000_000
ORIENTATION, SIDES_SWAPPED = 0x0112, (5, 6, 7, 8)  # of EXIF 2.3


class ImageError(UserError):
    """An image cannot be used; the message names the file and the reason."""


def path_inside(root: Path, name: str) -> Path:
    """Return `root / name`. Raises ImageError if the name is absolute, contains `..`, or links out of `root`."""
    pure = PurePosixPath(name)
    if not name or pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name:
        raise ImageError(f"{name!r}: not a relative path below {root}")
    path = root / pure
    try:
        inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a symlink loop
        raise ImageError(f"{path}: cannot be resolved ({error})") from error
    if not inside:
        raise ImageError(f"{path}: leads out of {root}")
    return path


def images_below(folder: Path) -> list[str]:
    """Return the sorted names of the JPEG and PNG files below `folder`, chosen by suffix.

    Links to folders are skipped with a message. Raises UserError if there is no image, a folder cannot be read, or a
    name is not UTF-8.
    """
    names = files_below(folder, SUFFIXES)
    if not names:
        raise UserError(f"{folder}: contains no images ({', '.join(SUFFIXES)}); choose another folder")
    undecodable = [name for name in names if name.encode(errors="replace").decode() != name]
    if undecodable:
        raise UserError(f"{folder}: the file name {undecodable[0]!a} is not UTF-8; rename the file")
    return names


def load_image(path: Path) -> NDArray[np.uint8]:
    """Decode a JPEG or PNG to RGB, (H, W, 3) uint8, oriented as stored (EXIF rotation is not applied).

    Raises ImageError if the file is missing, not regular, in another format, truncated, or over 50 megapixels.
    """
    with _opened(path, path) as image:
        return _rgb(image)


def decode_image(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode the bytes of a JPEG or PNG file like `load_image`; errors call it `name`."""
    with _opened(io.BytesIO(data), name) as image:
        return _rgb(image)


def rgb_pixels(image: Image.Image, name: str) -> NDArray[np.uint8]:
    """Return the pixels of a Pillow image, converted like `load_image`: RGB, (H, W, 3) uint8, not rotated.

    Raises ImageError if it is damaged, over 50 megapixels, or of a mode that no JPEG or PNG has (F).
    """
    with _image_errors(name):
        if image.mode == "F":
            raise ImageError(f"{name}: has floating-point pixels; convert it to 8 bits per channel")
        _require_size(image, name)
        return _rgb(image)


def image_size(path: Path) -> tuple[int, int]:
    """Return (width, height) from the header, without decoding: a hundred times faster than `load_image`.

    Damage after the header goes unnoticed. Raises ImageError like `load_image`.
    """
    with _opened(path, path) as image:
        width, height = image.size
        return width, height


def exif_swaps_sides(path: Path) -> bool:
    """Return whether an image's EXIF orientation, which the loader ignores, swaps width and height.

    Raises ImageError like `load_image`.
    """
    with _opened(path, path) as image:
        return image.getexif().get(ORIENTATION) in SIDES_SWAPPED


@contextmanager
def _opened(source: Path | io.BytesIO, name: object) -> Iterator[Image.Image]:
    with _image_errors(name):
        if isinstance(source, Path) and not stat.S_ISREG(source.stat().st_mode):
            raise ImageError(f"{name}: not a regular file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our limit is stricter
            image = Image.open(source, formats=FORMATS)
        with image:
            _require_size(image, name)
            yield image


@contextmanager
def _image_errors(name: object) -> Iterator[None]:
    """Turn Pillow's exceptions into ImageError with `name` and the reason."""
    try:
        yield
    except FileNotFoundError as error:
        raise ImageError(f"{name}: no such file") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name}: not a JPEG or PNG image") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name}: over {MAX_PIXELS // 10**6} megapixels") from error
    except (OSError, ValueError, SyntaxError, IndexError, struct.error) as error:  # last three: broken PNG chunks
        raise ImageError(f"{name}: damaged image ({error})") from error


def _require_size(image: Image.Image, name: object) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(f"{name}: {image.width} x {image.height} is over {MAX_PIXELS // 10**6} megapixels")


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):  # 16-bit grey: keep the high byte; Pillow's own conversion clips to white
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return np.asarray(image.convert("RGB"))
