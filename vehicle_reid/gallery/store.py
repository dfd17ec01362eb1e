"""The interface of gallery stores: where images are kept, and what a gallery asks of it."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

from numpy.typing import NDArray

from data_cache.base.config import unknown
from data_cache.base.errors import UserError
from data_cache.base.options import remedy_command
from data_cache.parts.fingerprints import require_fingerprint
from reid.retrieval.ranking import Matrix, Numbers
from vehicle_reid.gallery.entries import DETAILS, Entries, require_columns
from vehicle_reid.gallery.filters import EVERY, Filter

INDEXES = ("exact", "approximate")
INDEXED_FROM = 5_000  # images; an exact search of fewer takes no longer, and misses none
PLAIN_COLUMNS = ("id", "name", "camera", "feature")  # that `Store.read` gives, and the details
Fingerprint = Mapping[str, str | None]
Columns = dict[str, NDArray[Any]]


class StoreFault(UserError):
    """A gallery cannot be read or written: a fault of a disk, a connection or a file, and of no request."""


@dataclass(frozen=True)
class Header:
    """What a gallery is: it never changes, but for `columns`, which `add` may extend."""

    identity: str  # 32 hexadecimal digits, of this gallery and no other
    index: str  # one of INDEXES
    model: Fingerprint
    channels: int  # C, of a feature
    slots: int  # D, for parts
    columns: tuple[str, ...]  # of the details


class Best(NamedTuple):
    """The best k images of Q queries: ids (Q, k) int64 and cosines (Q, k) float32; -1 and -inf if there are fewer."""

    ids: Numbers
    scores: Matrix


class Store(Protocol):
    """Images of a gallery, kept at an address.

    Ids ascend in the order of adding and are never used again. A store reads one version of the gallery until `refresh`
    or a change of its own: what is read in between fits together, but that images which another process removes from a
    server are gone at once. One thread may use it at a time, but for `count`, `version` and `snapshot`. All methods
    raise StoreFault, naming the address, if the gallery cannot be read or written.
    """

    address: str

    @classmethod
    def exists(cls, address: str) -> bool:
        """Return whether there is a gallery. Raises UserError for something else."""

    @classmethod
    def create(cls, address: str, entries: Entries, *, model: Fingerprint, index: str = "exact") -> Self:
        """Make a gallery of `entries` by `model`, whole or not at all, with ids of its own.

        Raises UserError if there is one, or for an `index` that is unknown or does not fit.
        """

    @classmethod
    def open(cls, address: str, model: Fingerprint | None) -> Self:
        """Open a gallery that `model` made, None for any.

        Raises UserError if it is missing, damaged, or was made by another model.
        """

    @property
    def header(self) -> Header:
        """What the gallery is."""

    @property
    def version(self) -> int:
        """The version that is read; every change makes it larger."""

    def refresh(self) -> int:
        """Read the newest version from now on, and return it; cheap if it is the same."""

    def snapshot(self) -> Self:
        """Return the version that is read now, to be read by any threads: it stays the same whatever is changed."""

    def count(self, where: Filter = EVERY) -> int:
        """Return the number of images."""

    def read(
        self,
        columns: Sequence[str],
        where: Filter = EVERY,
        *,
        order: str = "id",
        first: int = 0,
        most: int | None = None,
    ) -> Columns:
        """Return columns of N images as arrays, ascending by `order`: at most `most`, after the `first`.

        id (N,) int64; name (N,) str; camera (N,) int64; feature (N, C) float32; details (N,) str.
        """

    def entries(self, where: Filter = EVERY) -> Entries:
        """Return whole images, ascending by id."""

    def best(self, query: Matrix, k: int, where: Filter = EVERY) -> Best:
        """Return the best k images of each query (Q, C), ties by id.

        With an approximate index a few may be missed, but the scores are exact. Raises UserError if k is below 1 or the
        query does not fit.
        """

    def add(self, entries: Entries) -> None:
        """Add images after those that there are; on return they outlast a crash. Their ids are the store's, see above.

        Raises UserError, and adds nothing, if a name is present, or the images do not fit.
        """

    def remove(self, names: Sequence[str]) -> None:
        """Remove images; on return that outlasts a crash.

        Raises UserError, and removes nothing, if a name is missing.
        """

    def check(self) -> int:
        """Verify every row's checksum, and that names and ids are unique; return the number of rows.

        Raises UserError naming the first bad row.
        """

    def optimize(self) -> None:
        """Put what many changes left in order, so that searches stay fast."""


def new_header(entries: Entries, model: Fingerprint, index: str) -> Header:
    """Return what a new gallery of these images is. Raises UserError if the index is unknown."""
    if index not in INDEXES:
        raise unknown("index", index, INDEXES)
    columns = tuple(dict.fromkeys([*DETAILS, *entries.columns]))
    require_columns(columns)
    return Header(uuid.uuid4().hex, index, dict(model), entries.features.shape[1], entries.labels.shape[1], columns)


def require_model(address: str, header: Header, model: Fingerprint | None) -> None:
    """Raise UserError if another model made a gallery, None for any."""
    if model is not None:
        remedy = f"name the run and the detector that made it, or {rebuild()}"
        require_fingerprint(header.model, model, address, remedy)


def require_known(columns: Sequence[str], header: Header) -> None:
    """Raise UserError for a column that `Store.read` does not give."""
    known = (*PLAIN_COLUMNS, *header.columns)
    for column in columns:
        if column not in known:
            raise unknown("column", column, known)


def no_gallery(address: str) -> UserError:
    """Return the error that there is no gallery at an address, with the remedy."""
    return UserError(f"{address}: no such gallery; build it with {remedy_command('gallery build')}")


def gallery_there(address: str) -> UserError:
    """Return the error that there is a gallery at an address already, with the remedy."""
    return UserError(f"{address}: the gallery already exists; use `gallery add`, or delete it")


def rebuild() -> str:
    """Return the remedy for a gallery that cannot be used."""
    return f"delete it and build it again with {remedy_command('gallery build')}"


@contextmanager
def damage_named(address: str) -> Iterator[None]:
    """Raise StoreFault, with the address and the remedy, for a UserError about what is in a gallery."""
    try:
        yield
    except UserError as error:
        raise StoreFault(f"{address}: {error}; {rebuild()}") from error
