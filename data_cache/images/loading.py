"""The one image loader of both stages, so that a cached box lies on the same pixels everywhere."""

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
    """An image that cannot be used, with the file and the reason."""


def path_inside(root: Path, name: str) -> Path:
    """Return `root / name`. Raises ImageError for a name that is absolute, holds `..` or leads out by a link."""
    pure = PurePosixPath(name)
    if not name or pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name:
        raise ImageError(f"{name!r}: not a relative path below {root}")
    path = root / pure
    try:
        inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a loop of links
        raise ImageError(f"{path}: cannot be resolved ({error})") from error
    if not inside:
        raise ImageError(f"{path}: leads out of {root}")
    return path


def images_below(folder: Path) -> list[str]:
    """Return the names of the JPEG and PNG files below `folder`, by their endings, sorted.

    A link to a folder is not followed, which is said. Raises UserError where there is no image, where a folder cannot
    be read, or where a name is not UTF-8.
    """
    names = files_below(folder, SUFFIXES)
    if not names:
        raise UserError(f"{folder}: no images there or below ({', '.join(SUFFIXES)}); choose another folder")
    strange = [name for name in names if name.encode(errors="replace").decode() != name]
    if strange:
        raise UserError(f"{folder}: the name of {strange[0]!a} is not UTF-8; rename it")
    return names


def load_image(path: Path) -> NDArray[np.uint8]:
    """Decode a JPEG or PNG to RGB, (H, W, 3) uint8, orientation as stored (EXIF rotation is not applied).

    Raises ImageError for a file that is missing, no regular file, another format, truncated, or over 50 megapixels.
    """
    with _opened(path, path) as image:
        return _rgb(image)


def decode_image(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode the content of a JPEG or PNG file as `load_image` does; `name` stands for it in the errors."""
    with _opened(io.BytesIO(data), name) as image:
        return _rgb(image)


def rgb_pixels(image: Image.Image, name: str) -> NDArray[np.uint8]:
    """Return what `load_image` would of an image that Pillow holds, (H, W, 3) uint8, orientation as it stands.

    Raises ImageError for one that is damaged, over 50 megapixels, or of a kind that no JPEG or PNG is (mode F).
    """
    with _telling(name):
        if image.mode == "F":
            raise ImageError(f"{name}: an image of floating-point numbers; give 8 bits a channel")
        _refuse_size(image, name)
        return _rgb(image)


def image_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of what `load_image` would give, from the header alone: a hundred times faster.

    Damage behind the header goes unseen. Raises ImageError as `load_image` does.
    """
    with _opened(path, path) as image:
        width, height = image.size
        return width, height


def turned_by_exif(path: Path) -> bool:
    """Whether a picture's EXIF swaps its sides, which nothing here does. Raises ImageError as `load_image` does."""
    with _opened(path, path) as image:
        return image.getexif().get(ORIENTATION) in SIDES_SWAPPED


@contextmanager
def _opened(source: Path | io.BytesIO, name: object) -> Iterator[Image.Image]:
    with _telling(name):
        if isinstance(source, Path) and not stat.S_ISREG(source.stat().st_mode):
            raise ImageError(f"{name}: not a regular file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is stricter
            image = Image.open(source, formats=FORMATS)
        with image:
            _refuse_size(image, name)
            yield image


@contextmanager
def _telling(name: object) -> Iterator[None]:
    """Raise ImageError, with `name` and the reason, for whatever Pillow raises for an image."""
    try:
        yield
    except FileNotFoundError as error:
        raise ImageError(f"{name}: no such file") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name}: not a JPEG or PNG image") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name}: over {MAX_PIXELS // 10**6} megapixels") from error
    except (OSError, ValueError, SyntaxError, IndexError, struct.error) as error:  # the last three: broken PNG chunks
        raise ImageError(f"{name}: damaged image ({error})") from error


def _refuse_size(image: Image.Image, name: object) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(f"{name}: {image.width} x {image.height} is over {MAX_PIXELS // 10**6} megapixels")


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(_eight_bits(image).convert("RGB"))


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return 16-bit grey by its high byte, as Pillow does for 16-bit colour; its own conversion turns it white."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
