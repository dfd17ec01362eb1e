"""`LanceStore`: a gallery in LanceDB, which is embedded: a folder, or a bucket by its address.

Several processes may read while one writes. Writers of a folder wait for each other; a bucket has no lock, so only one
may write to it at a time. What LanceDB does not do is done here: names are unique, changes are flushed to disk,
every row has a checksum, and the scores of an index are computed again.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.query import ColumnOrdering
from lancedb.table import LanceTable

from data_cache.base.errors import UserError, printable
from data_cache.base.files import path_exists
from data_cache.base.locks import run_lock
from data_cache.base.options import command_line
from data_cache.base.remote.addresses import FILE_SCHEME, SCHEME
from reid.retrieval.ranking import Matrix, Numbers
from vehicle_reid.gallery.entries import OWN_COLUMNS, Entries
from vehicle_reid.gallery.filters import EVERY, Filter
from vehicle_reid.gallery.lance.files import flush_version, manifests, set_aside_torn_versions
from vehicle_reid.gallery.lance.rows import fill, header_of, schema_of, table_of
from vehicle_reid.gallery.lance.upkeep import INDEXED_ROWS, KEPT, NEXT_ID, is_due, note, noted, put_in_order
from vehicle_reid.gallery.rows import (
    check_rows,
    columns_of,
    empty_columns,
    entries_of,
    ids_by_name,
    require_checksums,
    require_fit,
    require_new,
    require_there,
    sampled,
)
from vehicle_reid.gallery.search import Matches, cosines, merge_best, no_matches, require_query, search_batches
from vehicle_reid.gallery.store import (
    INDEXED_FROM,
    Best,
    Columns,
    Fingerprint,
    Header,
    StoreFault,
    damage_named,
    gallery_there,
    new_header,
    no_gallery,
    rebuild,
    require_known,
    require_model,
)

log = logging.getLogger(__name__)

TABLE = "images"
ROWS_AT_ONCE = 8_192
FRESH = KEPT.total_seconds() / 4  # seconds for which a version is surely still there
CACHED_METADATA = 64 << 20  # bytes; each version adds some kB, and by default they add up to 1 GiB
NAMES_AT_ONCE = 10_000  # in a condition: parsing 200,000 takes 800 MB

CHANNELS_PER_CODE = 8  # the approximate index needs a multiple of these
PROBES, REFINE, SPARE = 20, 4, 8  # lists; candidates per match whose vectors are read; matches beyond k, for ties
QUERIES_AT_ONCE = 64


class LanceStore:
    """A gallery in LanceDB, see `Store`."""

    def __init__(self, address: str, connection: lancedb.DBConnection, table: LanceTable, folder: Path | None) -> None:
        """Wrap a table of a connection; use `create` or `open`. `folder` is that of a gallery that is in no bucket."""
        self.address = address
        self._connection, self._table, self._folder = connection, table, folder
        self._snapshot: LanceStore | None = None
        self._read_at = time.monotonic()  # when the newest version was asked for
        self._flushed: set[Path] = set()  # files; at first none, because a killed process may have left others
        self._load()

    @classmethod
    def exists(cls, address: str) -> bool:
        """Return whether there is a gallery. Raises UserError for a file, or a folder of something else."""
        with _reporting(address):
            return _exists(address, local_folder(address))

    @classmethod
    def create(cls, address: str, entries: Entries, *, model: Fingerprint, index: str = "exact") -> "LanceStore":
        """Make a gallery in one commit, see `Store.create`."""
        header = new_header(entries, model, index)
        _require_index(header)
        schema = schema_of(header)
        rows = table_of(columns_of(entries, 0, header.columns), schema)
        folder = local_folder(address)
        with _lock(folder):
            with _reporting(address):
                if _exists(address, folder):
                    raise gallery_there(address)
                connection = _connect(address, folder)
                table = connection.create_table(TABLE, rows)
            store = cls(address, connection, table, folder)
            store._finish(before=0)
        return store

    @classmethod
    def open(cls, address: str, model: Fingerprint | None) -> "LanceStore":
        """Open a gallery and verify the checksums of some rows, see `Store.open`.

        The newest version is set aside, with a warning, if a power failure kept it from the disk.
        """
        folder = local_folder(address)
        with _reporting(address):
            if not _exists(address, folder):
                raise no_gallery(address)
            if folder is not None:
                with damage_named(address):
                    set_aside_torn_versions(_table_folder(folder))
            connection = _connect(address, folder)
            table = connection.open_table(TABLE)
        store = cls(address, connection, table, folder)
        require_model(address, store.header, model)
        store._check_sample()
        return store

    @property
    def header(self) -> Header:
        """What the gallery is."""
        return self._header

    @property
    def version(self) -> int:
        """The version that is read; every change makes it larger."""
        return int(self._table.version)

    def refresh(self) -> int:
        """Read the newest version from now on, and return it."""
        with _reporting(self.address):
            self._table.checkout_latest()
        self._read_at = time.monotonic()
        if self.version != self._loaded:  # also after a change that failed halfway
            self._load()
        return self.version

    def snapshot(self) -> "LanceStore":
        """Return the version that is read now; see `Store.snapshot`. The last one is kept for further readers.

        After FRESH without a `refresh` it is the newest: the files of an older one may be gone, see `upkeep.KEPT`.
        """
        version, known, is_fresh = self.version, self._snapshot, self._is_fresh()
        if known is None or known.version < version or not (is_fresh or known._is_fresh()):
            with _reporting(self.address):
                table = self._connection.open_table(TABLE)
                if is_fresh:
                    table.checkout(version)
            self._snapshot = known = LanceStore(self.address, self._connection, table, self._folder)
        return known

    def count(self, where: Filter = EVERY) -> int:
        """Return the number of images."""
        condition = where.sql(self.header.columns)
        with _reporting(self.address):
            return int(self._table.count_rows(condition or None))

    def read(
        self,
        columns: Sequence[str],
        where: Filter = EVERY,
        *,
        order: str = "id",
        first: int = 0,
        most: int | None = None,
    ) -> Columns:
        """Return columns of images, see `Store.read`. Raises UserError for an unknown column."""
        require_known([*columns, order], self.header)
        found = self._read([*dict.fromkeys([*columns, order])], where, order, first, most)
        return {column: found[column] for column in columns}

    def entries(self, where: Filter = EVERY) -> Entries:
        """Return whole images, ascending by id."""
        own = [column for column in OWN_COLUMNS if column != "crc"]
        columns = self._read([*own, *self.header.columns], where)
        with damage_named(self.address):
            return entries_of(columns, self.header.slots)

    def best(self, query: Matrix, k: int, where: Filter = EVERY) -> Best:
        """Return the best k images of each query, see `Store.best`."""
        require_query(query, k, self.header.channels)
        allowed = self.count(where)
        best = no_matches(len(query), k)
        if not allowed or not len(query):
            return Best(best.rows, best.scores)
        if self._indexed_rows and self.header.index == "approximate" and allowed > INDEXED_FROM:
            probes = PROBES * self.count() // allowed  # the fewer images of a list are allowed, the more lists
            for first in range(0, len(query), QUERIES_AT_ONCE):
                part = slice(first, first + QUERIES_AT_ONCE)
                self._search_index(Matches(best.rows[part], best.scores[part]), query[part], where, probes)
        else:
            self._search_all(best, query, where)
        return Best(best.rows, best.scores)

    def add(self, entries: Entries) -> None:
        """Add images in one commit, see `Store.add`; a new column of the details takes one before it."""
        if not len(entries):
            return
        with self._change() as before:
            self._require_fit(entries)
            new = [column for column in entries.columns if column not in self.header.columns]
            columns = columns_of(entries, self._next_id(), (*self.header.columns, *new))
            with _reporting(self.address):
                if new:
                    self._table.add_columns(dict.fromkeys(new, "''"))
                self._table.add(
                    table_of(columns, self._table.schema), write_parallelism=1
                )  # one file, not one per core
            self._finish(before)

    def remove(self, names: Sequence[str]) -> None:
        """Remove images in one commit, see `Store.remove`.

        Their data is on the disk until `optimize` has merged the files and deleted what they were merged from.
        """
        wanted = list(dict.fromkeys(names))
        if not wanted:
            return
        with self._change() as before:
            found = self._among(wanted)
            require_there(wanted, found)
            next_id = self._next_id()
            with _reporting(self.address):
                if next_id - 1 in found.values():  # then no row that stays says which ids were used
                    note(self._table, NEXT_ID, next_id)
                self._table.delete(Filter(ids=tuple(found.values())).sql(()))
            self._finish(before)

    def check(self) -> int:
        """Verify every row's checksum, and that names and ids are unique; return the number of rows.

        Raises UserError naming the first bad row.
        """
        names = [*OWN_COLUMNS, *self.header.columns]
        return check_rows(self.address, (self._filled(names, batch) for batch in self._batches(names, EVERY)))

    def optimize(self) -> None:
        """Merge small files, bring all images into the indices, and delete versions that were replaced an hour ago."""
        with self._change():
            self._put_in_order()

    def _load(self) -> None:
        """Note what the version that is read says about itself."""
        with _reporting(self.address), damage_named(self.address):
            self._header = header_of(self._table.schema)
            self._indexed_rows = noted(self._table, INDEXED_ROWS)
            self._loaded = self.version

    def _read(
        self, columns: Sequence[str], where: Filter, order: str = "id", first: int = 0, most: int | None = None
    ) -> Columns:
        """Return columns of images, `order` among them; see `read`."""
        if order == "id" and not first and most is None:
            named = where.ids if where.ids is not None else where.names
            few = named is not None and len(named) <= ROWS_AT_ONCE
            return self._read_few(columns, where) if few else self._read_all(columns, where)
        count = max(0, self.count(where) - first)
        count = count if most is None else min(count, most)
        return self._joined(columns, count, self._batches(columns, where, (order, first, count)) if count else ())

    def _read_all(self, columns: Sequence[str], where: Filter) -> Columns:
        """Return columns of images, id among them, ascending by id: LanceDB gives them in any order."""
        batches = [batch.column("id").to_numpy() for batch in self._batches(["id"], where)]
        ids = np.sort(np.concatenate([np.zeros(0, np.int64), *batches]))
        self._require_unique(ids)
        found = empty_columns(columns, len(ids), self.header.channels)
        with _reporting(self.address):
            for batch in self._batches(columns, where):  # into their places: sorting would need twice the memory
                fill(found, np.searchsorted(ids, batch.column("id").to_numpy()), batch)
        return found

    def _read_few(self, columns: Sequence[str], where: Filter) -> Columns:
        """Return the same as `_read_all` in one pass, which takes twice the memory and half the time."""
        batches = list(self._batches(columns, where))
        found = self._joined(columns, sum(batch.num_rows for batch in batches), batches)
        order = np.argsort(found["id"])
        self._require_unique(found["id"][order])
        return {column: values[order] for column, values in found.items()}

    def _joined(self, columns: Sequence[str], count: int, batches: Iterable[pa.RecordBatch]) -> Columns:
        """Return columns of batches with `count` rows together, one after the other."""
        found, row = empty_columns(columns, count, self.header.channels), 0
        with _reporting(self.address):
            for batch in batches:
                fill(found, slice(row, row + batch.num_rows), batch)
                row += batch.num_rows
        return found

    def _require_unique(self, ids: Numbers) -> None:
        """Raise StoreFault if two of the ids, ascending, are equal."""
        if not np.diff(ids).all():
            raise StoreFault(f"{self.address}: damaged, an id occurs more than once; {rebuild()}")

    def _batches(
        self, columns: Sequence[str], where: Filter, ordered: tuple[str, int, int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield columns of images in batches; `ordered` is by which column, how many to leave out, and how many."""
        condition = where.sql(self.header.columns)
        with _reporting(self.address):
            query = self._table.search().select(list(columns))
            if condition:
                query = query.where(condition)
            if ordered is not None:
                order, first, count = ordered
                query = query.order_by([ColumnOrdering(column_name=order)]).offset(first).limit(count)
            yield from query.to_batches(ROWS_AT_ONCE)

    def _filled(self, names: Sequence[str], batch: pa.RecordBatch) -> Columns:
        """Return columns of a batch as arrays."""
        columns = empty_columns(names, batch.num_rows, self.header.channels)
        with _reporting(self.address):
            fill(columns, slice(None), batch)
        return columns

    def _search_index(self, best: Matches, query: Matrix, where: Filter, probes: int) -> None:
        """Merge into `best` what the index finds; the scores are those of the vectors, not of their codes."""
        condition = where.sql(self.header.columns)
        with _reporting(self.address):
            nearest = self._table.search(query.tolist(), vector_column_name="feature").distance_type("dot")
            nearest = nearest.nprobes(probes).refine_factor(REFINE).limit(best.rows.shape[1] + SPARE)
            if condition:
                nearest = nearest.where(condition)
            batches = list(nearest.select(["id", "feature", "_distance"]).to_batches())
        for batch in batches:
            columns = self._filled(["id", "feature"], batch)
            rows = np.zeros(batch.num_rows, np.int64)
            if "query_index" in batch.schema.names:  # not if there is one query
                rows[:] = batch.column("query_index").to_numpy()
            scores = cosines(query, columns["feature"], rows, np.arange(batch.num_rows))
            merge_best(best, rows, columns["id"], scores)

    def _search_all(self, best: Matches, query: Matrix, where: Filter) -> None:
        """Merge into `best` the best of all images."""
        names = ["id", "feature"]
        batches = (self._filled(names, batch) for batch in self._batches(names, where))
        search_batches(best, query, ((columns["id"], columns["feature"]) for columns in batches))

    def _among(self, names: Sequence[str]) -> dict[str, int]:
        """Return the ids of those of the names that are in the gallery."""
        return ids_by_name(self._read, names, NAMES_AT_ONCE)

    def _check_sample(self) -> None:
        """Verify the checksums of some rows, see `sampled`."""
        offsets = sampled(self.count()).tolist()
        if offsets:
            with _reporting(self.address):
                for batch in self._table.take_offsets(offsets).to_batches():
                    require_checksums(self.address, self._filled([*OWN_COLUMNS, *self.header.columns], batch))

    def _is_fresh(self) -> bool:
        """Return whether the version that is read was the newest not long ago."""
        return time.monotonic() - self._read_at < FRESH

    @contextmanager
    def _change(self) -> Iterator[int]:
        """Wait until no other process writes to the folder, and yield the newest version, which is then read."""
        with _lock(self._folder):
            yield self.refresh()

    def _require_fit(self, entries: Entries) -> None:
        """Raise UserError unless these images can be added."""
        require_new(entries.names, self._among(entries.names))
        some = self._read(["id", "attention"], EVERY, most=1)
        require_fit(self.address, self.header, len(some["attention"][0]) // 4 if len(some["id"]) else None, entries)

    def _next_id(self) -> int:
        """Return the smallest id above every one that was ever used."""
        with _reporting(self.address):
            newest = self._table.search().select(["id"]).order_by([ColumnOrdering(column_name="id", ascending=False)])
            ids = newest.limit(1).to_arrow()["id"].to_pylist()
        return max(noted(self._table, NEXT_ID), *(int(number) + 1 for number in ids), 0)

    def _flush(self) -> None:
        """Bring a change to the disk. Raises UserError if that fails."""
        if self._folder is None:
            return
        try:
            self._flushed = flush_version(_table_folder(self._folder), self.version, self._flushed)
        except (OSError, UserError) as error:
            raise StoreFault(
                f"{self.address}: the change is made, but may not outlast a power failure ({error})"
            ) from error

    def _finish(self, before: int) -> None:
        """Bring a change of the version `before` to the disk, then put the table in order if that is due.

        The change is done by then: if the order cannot be made, that is a warning.
        """
        self._flush()
        self._load()
        try:
            with _reporting(self.address):
                due = is_due(self._table, before)
            if due:
                self._put_in_order()
        except StoreFault as error:
            log.warning(f"{error}; the change is done, but small files are not merged yet")

    def _put_in_order(self) -> None:
        with _reporting(self.address):
            put_in_order(self._table, approximate=self.header.index == "approximate")
        self._flush()
        self._load()


def local_folder(address: str) -> Path | None:
    """Return the folder of a gallery that is on this machine, None for one in a bucket; absolute, so it has a name."""
    path = address.removeprefix(FILE_SCHEME)
    return None if SCHEME in path else Path(path).absolute()


def _connect(address: str, folder: Path | None) -> lancedb.DBConnection:
    session = lancedb.Session(metadata_cache_size_bytes=CACHED_METADATA)
    return lancedb.connect(address if folder is None else folder, session=session)


def _table_folder(folder: Path) -> Path:
    return folder / f"{TABLE}.lance"


def _require_index(header: Header) -> None:
    """Raise UserError if the index of a new gallery does not fit its features."""
    if header.index == "approximate" and header.channels % CHANNELS_PER_CODE:
        raise UserError(
            f"index approximate: needs a multiple of {CHANNELS_PER_CODE} channels, the features have "
            f"{header.channels}; use exact"
        )


def _exists(address: str, folder: Path | None) -> bool:
    """Return whether there is a gallery. Raises UserError for a file, or a folder of something else."""
    if folder is None:
        return TABLE in lancedb.connect(address).list_tables().tables
    if not path_exists(folder):
        return False
    if not folder.is_dir():
        remedy = f"`{command_line('gallery convert', {}, [address])}` if a version before 0.6 made it"
        raise UserError(f"{address}: a file, and a gallery is a folder; {remedy}")
    if manifests(_table_folder(folder)):
        return True
    others = [path.name for path in folder.iterdir() if path != _table_folder(folder)]  # which a killed `create` left
    if others:
        raise UserError(f"{address}: a folder of other files, such as {others[0]}; choose another path")
    return False


@contextmanager
def _lock(folder: Path | None) -> Iterator[None]:
    """Hold the lock of a folder, in one beside it, while it is changed; wait for it if another process has it."""
    if folder is None:
        yield
        return
    beside = folder.with_name(f"{folder.name}.lock")
    try:
        with ExitStack() as held:
            try:
                held.enter_context(run_lock(beside, wait=True))
            except UserError as error:
                raise StoreFault(error) from error
            yield
    finally:
        with suppress(OSError):  # another process waits for it, or has it
            beside.rmdir()


@contextmanager
def _reporting(address: str) -> Iterator[None]:
    """Raise StoreFault, naming the address, for what LanceDB and the system raise."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # LanceDB raises ValueError, RuntimeError, OSError, and panics of its own kind
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise StoreFault(
            f"{address}: cannot be used ({printable(lines[0])[:200]}); check the disk or the connection; if a file is "
            f"damaged, {rebuild()}"
        ) from error
