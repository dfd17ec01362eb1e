"""The image loader that both stages share, so that cached boxes refer to the same pixels everywhere.

Images are turned as their EXIF orientation says, and sizes are those of the turned image.
"""

import functools
import io
import logging
import os
import stat
import struct
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from data_cache.base.errors import UserError
from data_cache.base.files import files_below
from data_cache.base.remote.addresses import Address, Location
from data_cache.base.remote.requests import read_files

log = logging.getLogger(__name__)
Result = TypeVar("Result")

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
HEIF = "HEIF"  # read if the extra `heic` is installed
KINDS = "JPEG, PNG, WebP or BMP"
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp")
HEIF_SUFFIXES = (".heic", ".heif")
HEIF_REMEDY = "for HEIC install pip install 'pgan-vehicle-reid[heic]'"
LINKS_VARIABLE = "VEHICLE_LINKS"
MAX_PIXELS = 50_000_000
ORIENTATION = 0x0112  # EXIF 2.3
TURNS = {  # by orientation; the last four swap width and height
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDES_SWAPPED = (5, 6, 7, 8)
PNG_SIGNATURE, PNG_TEXTS = b"\x89PNG\r\n\x1a\n", (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
BROKEN = (OSError, ValueError, SyntaxError, IndexError, struct.error)  # the last three: broken PNG chunks


class ImageError(UserError):
    """An image cannot be used; the message names the file and the reason."""


class NotAnImage(ImageError):
    """A file is of no format that is read here."""


@dataclass(frozen=True, eq=False)
class FetchedFile:
    """A file that was read from its address; `content` is None if there was none."""

    address: Address
    content: bytes | None

    def __str__(self) -> str:
        return str(self.address)


ImageFile = Location | FetchedFile


@overload
def path_inside(root: Path, name: str) -> Path: ...


@overload
def path_inside(root: Address, name: str) -> Address: ...


def path_inside(root: Location, name: str) -> Location:
    """Return `root / name`. Raises ImageError if the name is absolute, contains `..`, or links out of `root`.

    Links may lead to the folders that the environment variable VEHICLE_LINKS names, separated as in PATH.
    """
    pure = PurePosixPath(name)
    if not name or pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name:
        raise ImageError(f"{name!r}: not a relative path below {root}")
    if isinstance(root, Address):
        return root / name
    path = root / pure
    try:
        target = path.resolve()
        inside = target.is_relative_to(root.resolve()) or any(map(target.is_relative_to, _linked_folders()))
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a symlink loop
        raise ImageError(f"{path}: cannot be resolved ({error})") from error
    if not inside:
        raise ImageError(f"{path}: leads out of {root}, to {target}; {LINKS_VARIABLE}=FOLDER allows links to a folder")
    return path


def _linked_folders() -> list[Path]:
    return [Path(folder).resolve() for folder in os.environ.get(LINKS_VARIABLE, "").split(os.pathsep) if folder]


def images_below(folder: Path) -> list[str]:
    """Return the sorted names of the images below `folder`, chosen by suffix.

    Hidden and system files are passed over, and so are links to folders and files of other kinds, with a message.
    Raises UserError if there is no image, a folder cannot be read, or a name is not UTF-8 or contains a backslash.
    """
    suffixes = SUFFIXES + (HEIF_SUFFIXES if _reads_heif() else ())
    other: Counter[str] = Counter()
    names = files_below(folder, suffixes, other)
    kinds = sorted(other.items(), key=lambda item: (-item[1], item[0]))
    passed_over = ", ".join(f"{count:,} {suffix or 'without a suffix'}" for suffix, count in kinds)
    hint = f"; {HEIF_REMEDY}" if {*other} & {*HEIF_SUFFIXES} else ""
    if not names:
        found = f", only {passed_over}{hint}" if passed_over else ""
        raise UserError(f"{folder}: contains no images ({', '.join(suffixes)}){found}; choose another folder")
    if passed_over:
        log.info(f"{folder}: {len(names):,} images; passed over {passed_over}{hint}")
    windows = [name for name in names if "\\" in name]
    if windows:
        raise UserError(
            f"{folder}: {len(windows):,} file names contain backslashes, first {windows[0]}: an archive made on "
            "Windows was unpacked without its folders; unpack it with another program, such as 7-Zip or bsdtar"
        )
    undecodable = [name for name in names if name.encode(errors="replace").decode() != name]
    if undecodable:
        raise UserError(f"{folder}: the file name {undecodable[0]!a} is not UTF-8; rename the file")
    return names


def load_image(file: ImageFile, *, turned: bool = True) -> NDArray[np.uint8]:
    """Decode an image file to RGB, (H, W, 3) uint8, turned as its EXIF orientation says unless `turned` is false.

    Raises ImageError if the file is missing, not regular, in another format, truncated, or over 50 megapixels, and
    UserError if the store of an address does not answer.
    """
    return _with_image(_source(file), file, lambda image: _rgb(image, orientation(image) if turned else 1))


def fetched(files: Sequence[Location]) -> list[ImageFile]:
    """Return files for `load_image`: those at addresses, all in one store, are read now, many at a time.

    Raises UserError if the store does not answer.
    """
    addresses = [file for file in files if isinstance(file, Address)]
    contents = dict(zip(addresses, read_files(addresses), strict=True))
    return [FetchedFile(file, contents[file]) if isinstance(file, Address) else file for file in files]


def decode_image(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode the bytes of an image file like `load_image`; errors call it `name`."""
    return _with_image(data, name, lambda image: _rgb(image, orientation(image)))


def rgb_pixels(image: Image.Image, name: str) -> NDArray[np.uint8]:
    """Return the pixels of a Pillow image, converted like `load_image`: RGB, (H, W, 3) uint8, turned.

    Raises ImageError if it is damaged, over 50 megapixels, or of a mode that no image file here has (F).
    """
    with _image_errors(name):
        if image.mode == "F":
            raise ImageError(f"{name}: has floating-point pixels; convert it to 8 bits per channel")
        _require_size(image, name)
        return _rgb(image, orientation(image))


def image_size(file: ImageFile, *, turned: bool = True) -> tuple[int, int]:
    """Return (width, height) of the image that `load_image` returns, from the header: a hundred times faster.

    Damage after the header goes unnoticed. Raises errors like `load_image`.
    """
    width, height, value = _with_image(_source(file), file, lambda image: (*image.size, orientation(image)))
    return (height, width) if turned and value in SIDES_SWAPPED else (width, height)


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8, of a Pillow image; 1, as stored, if there is none or it is damaged.

    Only EXIF data before the pixels of a file count, so that the header is enough.
    """
    exif = Image.Exif()
    try:
        with _without_warnings():
            exif.load(image.info.get("exif") or b"")
            found = exif.get(ORIENTATION)
    except BROKEN:
        return 1
    return found if found in TURNS else 1


def _source(file: ImageFile) -> Path | bytes:
    """Return a path, or the content of a file elsewhere. Raises ImageError if there is none."""
    if isinstance(file, Address):
        (content,) = read_files([file])
        file = FetchedFile(file, content)
    if isinstance(file, FetchedFile):
        if file.content is None:
            raise ImageError(f"{file}: no such file")
        return file.content
    return file


def _with_image(source: Path | bytes, name: object, use: Callable[[Image.Image], Result]) -> Result:
    """Return `use(image)` of an opened file or its bytes. Raises ImageError with `name`."""
    with _image_errors(name):
        try:
            with _opened(source, name) as image:
                return use(image)
        except ValueError:  # Pillow refuses long texts and profiles, without which the pixels are the same
            data = source.read_bytes() if isinstance(source, Path) else source
            plain = without_texts(data)
            if plain == data:
                raise
            with _opened(plain, name) as image:
                return use(image)


def without_texts(data: bytes) -> bytes:
    """Return the bytes of a PNG without its texts and colour profile; of another or a cut file, the bytes as given."""
    if not data.startswith(PNG_SIGNATURE):
        return data
    kept, start = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    while start + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, start)
        stop = start + 12 + length  # length, kind and checksum are 12 bytes
        if kind not in PNG_TEXTS:
            kept.append(data[start:stop])
        start = stop
    return b"".join(kept) + data[start:]


@functools.cache
def _reads_heif() -> bool:
    """Return whether HEIC can be read, after telling Pillow how."""
    try:
        from pi_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


@contextmanager
def _opened(source: Path | bytes, name: object) -> Iterator[Image.Image]:
    if isinstance(source, Path) and not stat.S_ISREG(source.stat().st_mode):
        raise ImageError(f"{name}: not a regular file")
    formats = (*FORMATS, HEIF) if _reads_heif() else FORMATS
    with _without_warnings():
        image = Image.open(source if isinstance(source, Path) else io.BytesIO(source), formats=formats)
    with image:
        _require_size(image, name)
        yield image


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Hide Pillow's warnings of damaged EXIF data, and of sizes: our limit is stricter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _image_errors(name: object) -> Iterator[None]:
    """Turn Pillow's exceptions into ImageError with `name` and the reason."""
    try:
        yield
    except FileNotFoundError as error:
        raise ImageError(f"{name}: no such file") from error
    except UnidentifiedImageError as error:
        is_heif = PurePosixPath(str(name)).suffix.lower() in HEIF_SUFFIXES and not _reads_heif()
        raise NotAnImage(f"{name}: not a {KINDS} image{f'; {HEIF_REMEDY}' if is_heif else ''}") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name}: over {MAX_PIXELS // 10**6} megapixels") from error
    except BROKEN as error:
        raise ImageError(f"{name}: damaged image ({error})") from error


def _require_size(image: Image.Image, name: object) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(f"{name}: {image.width} x {image.height} is over {MAX_PIXELS // 10**6} megapixels")


def _rgb(image: Image.Image, orientation: int) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):  # 16-bit grey: keep the high byte; Pillow's own conversion clips to white
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # the same colours; Pillow warns of a direct conversion
    image = image.convert("RGB")
    return np.asarray(image.transpose(TURNS[orientation]) if orientation in TURNS else image)
