"""A layout: where the pictures of a data set are written, and the list files that describe them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from data_cache.synthetic.dataset.plan import Shot
from data_cache.synthetic.design.traits import Vehicle


@dataclass(frozen=True)
class ImageFile:
    """An image file of the data set: the shot it shows, its POSIX path below the root, and its split.

    `split` is train, query or gallery; test if the protocol itself chooses queries and gallery.
    """

    shot: Shot
    name: str
    split: str


@dataclass(frozen=True)
class Layout:
    """A tree of image and list files.

    `image_files` maps the shots, ordered by vehicle, to their files in the same order: none, one or several per shot.
    `list_files` maps these files, and the vehicles by number, to the contents of the list files by path.
    """

    dataset: str  # the `--dataset` that reads it
    folders: tuple[str, ...]  # names below the data root: the first is written, a reader accepts any, in any case
    image_files: Callable[[Sequence[Shot]], list[ImageFile]]
    list_files: Callable[[Sequence[ImageFile], Mapping[int, Vehicle]], dict[str, bytes]]


def encode_lines(lines: Iterable[str]) -> bytes:
    """Return the content of a list file."""
    return "".join(f"{line}\n" for line in lines).encode()


def files_of(files: Sequence[ImageFile], split: str) -> list[ImageFile]:
    """Return the files of a split, in order."""
    return [file for file in files if file.split == split]


def nested_tests(files: Sequence[ImageFile]) -> tuple[list[ImageFile], list[ImageFile], list[ImageFile]]:
    """Return the files of a small, a medium and a large test: a third, two thirds and all of the test vehicles.

    Each has at least one vehicle and contains the smaller tests.
    """
    tested = [file for file in files if file.split != "train"]
    vehicles = sorted({file.shot.vehicle for file in tested})

    def of_first(count: int) -> list[ImageFile]:
        chosen = set(vehicles[: max(1, count)])
        return [file for file in tested if file.shot.vehicle in chosen]

    return of_first(len(vehicles) // 3), of_first(2 * len(vehicles) // 3), tested
