"""What a layout is: where the pictures of a synthetic data set go, and which lists tell what they serve for."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from data_cache.synthetic.dataset.plan import Shot
from data_cache.synthetic.design.fleet import Vehicle


@dataclass(frozen=True)
class Place:
    """A file of the data set: what it shows, its POSIX path below the root, and what it serves for.

    `split` is train, query or gallery; test where a protocol draws queries and gallery itself.
    """

    shot: Shot
    name: str
    split: str


@dataclass(frozen=True)
class Layout:
    """A tree of files.

    `place` maps all shots, vehicle after vehicle, to their places: a shot may have none, or several, which then follow
    each other. `lists` maps the places, and the vehicles by number, to the contents of the list files by their path.
    """

    dataset: str  # the `--dataset` that reads it
    folders: tuple[str, ...]  # below the data root: where it is written, then, in any case, where else it is looked for
    place: Callable[[Sequence[Shot]], list[Place]]
    lists: Callable[[Sequence[Place], Mapping[int, Vehicle]], dict[str, bytes]]


def list_file(lines: Iterable[str]) -> bytes:
    """Return the content of a list file."""
    return "".join(f"{line}\n" for line in lines).encode()


def used_as(places: Sequence[Place], split: str) -> list[Place]:
    """Return the places of a split, in their order."""
    return [place for place in places if place.split == split]


def nested_tests(places: Sequence[Place]) -> tuple[list[Place], list[Place], list[Place]]:
    """Return what a small, a medium and a large test use: a third, two thirds and all of the test vehicles.

    Each has at least one vehicle; the first vehicles are in all three.
    """
    tested = [place for place in places if place.split != "train"]
    vehicles = sorted({place.shot.vehicle for place in tested})

    def of_first(count: int) -> list[Place]:
        chosen = set(vehicles[: max(1, count)])
        return [place for place in tested if place.shot.vehicle in chosen]

    return of_first(len(vehicles) // 3), of_first(2 * len(vehicles) // 3), tested
