"""`MilvusStore`: a gallery in a collection on a Milvus server, for galleries that one machine cannot hold.

Many processes may read while one writes; a server has no lock, so only one may write at a time. What Milvus does not
do is done here: a change counts when the row of the state says so, so that one that was cut short counts for nothing;
names are unique, every row has a checksum, and the scores of an index are computed again.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from data_cache.base.errors import UserError
from reid.retrieval.ranking import Matrix, Numbers
from vehicle_reid.gallery.entries import OWN_COLUMNS, Entries
from vehicle_reid.gallery.filters import EVERY, WORDS, Filter
from vehicle_reid.gallery.milvus.rows import (
    STATE_ID,
    TYPES,
    State,
    columns_of,
    require_storable,
    require_words,
    rows_of,
    state_of,
    state_row,
    stored_columns,
)
from vehicle_reid.gallery.milvus.server import BYTES_AT_ONCE, MOST_ROWS, VECTOR, Collection, Row
from vehicle_reid.gallery.rows import (
    check_rows,
    empty_columns,
    entries_of,
    ids_by_name,
    require_checksums,
    require_fit,
    require_new,
    require_there,
    sampled,
)
from vehicle_reid.gallery.rows import columns_of as columns_of_entries
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

LISTED = 10_000  # names or ids in a condition
SPARE = 8  # matches beyond k, for ties
QUERIES_AT_ONCE = 64
GRAPH = {"index_type": "HNSW", "metric_type": "IP", "params": {"M": 16, "efConstruction": 200}}
FLAT = {"index_type": "FLAT", "metric_type": "IP", "params": {}}  # none: Milvus loads no vector without an index
BREADTH, LEAST_BREADTH = 4, 128  # of the search in the graph: per match, and at least
INDEXED_COLUMNS = ("name", "camera", "vehicle", "time")


class MilvusStore:
    """A gallery in a collection of Milvus, see `Store`."""

    def __init__(self, collection: Collection, state: State) -> None:
        """Wrap a collection in this state; use `create` or `open`."""
        self.address = collection.address
        self._collection, self._state = collection, state
        self._sorted: tuple[object, Numbers] | None = None  # see `_sorted_ids`
        self._snapshot: MilvusStore | None = None

    @classmethod
    def exists(cls, address: str) -> bool:
        """Return whether there is a gallery. Raises UserError for a collection of something else."""
        return _found_state(Collection(address)) is not None

    @classmethod
    def create(cls, address: str, entries: Entries, *, model: Fingerprint, index: str = "exact") -> "MilvusStore":
        """Make a gallery, see `Store.create`; a collection that an interrupted `create` left is replaced."""
        header = new_header(entries, model, index)
        rows, state = columns_of_entries(entries, 0, header.columns), State(header, 0, 0, 0)
        require_storable(rows)
        row = state_row(state)
        collection = Collection(address)
        if _found_state(collection) is not None:
            raise gallery_there(address)
        if collection.columns() is not None:
            collection.drop()
        indices = {name: {"index_type": "INVERTED"} for name in INDEXED_COLUMNS}
        vectors = GRAPH if index == "approximate" else FLAT
        collection.create(TYPES, header.channels, {**indices, "feature": vectors})
        collection.put(row)
        store = cls(collection, state)
        store._insert(rows)
        collection.flush()
        store._commit(state.after(next_id=len(entries), images=len(entries)))
        return store

    @classmethod
    def open(cls, address: str, model: Fingerprint | None) -> "MilvusStore":
        """Open a gallery and verify the checksums of some rows, see `Store.open`."""
        collection = Collection(address)
        state = _found_state(collection)
        if state is None:
            raise no_gallery(address)
        require_model(address, state.header, model)
        store = cls(collection, state)
        sample = Filter(ids=tuple(sampled(state.next_id).tolist()))
        require_checksums(address, store._read_all(store._all_columns(), sample))
        return store

    @property
    def header(self) -> Header:
        """What the gallery is."""
        return self._state.header

    @property
    def version(self) -> int:
        """The version that is read; every change makes it larger."""
        return self._state.version

    def refresh(self) -> int:
        """Read the newest version from now on, and return it."""
        state = _read_state(self._collection)
        if state is None or state.header.identity != self.header.identity:
            raise StoreFault(f"{self.address}: the gallery was deleted or replaced while it was used; open it again")
        self._state = state
        return self.version

    def snapshot(self) -> "MilvusStore":
        """Return the version that is read now; see `Store.snapshot`. The last one is kept for further readers."""
        state, known = self._state, self._snapshot
        if known is None or known._state is not state:
            self._snapshot = known = MilvusStore(self._collection, state)
        return known

    def count(self, where: Filter = EVERY) -> int:
        """Return the number of images."""
        if where == EVERY and self._state.images is not None:
            return self._state.images
        return self._collection.count(self._condition(where))

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
        if order == "id" and not first and most is None:
            return self._read_all(columns, where)
        ids = self._sorted_ids(where, order)[first : None if most is None else first + most]
        some = Filter(ids=tuple(ids.tolist())) if len(ids) <= LISTED else where
        found = self._read_all(["id", *columns], some)
        rows = np.searchsorted(found["id"], ids[np.isin(ids, found["id"])])
        return {column: found[column][rows] for column in columns}

    def entries(self, where: Filter = EVERY) -> Entries:
        """Return whole images, ascending by id."""
        names = [name for name in self._all_columns() if name != "crc"]
        columns = self._read_all(names, where)
        with damage_named(self.address):
            return entries_of(columns, self.header.slots)

    def best(self, query: Matrix, k: int, where: Filter = EVERY) -> Best:
        """Return the best k images of each query, see `Store.best`."""
        require_query(query, k, self.header.channels)
        best = no_matches(len(query), k)
        indexed = self.header.index == "approximate" and k + SPARE <= MOST_ROWS
        if len(query) and indexed and self.count(where) > INDEXED_FROM:
            self._search_index(best, query, where)
        elif len(query):
            batches = self._batches(["id", "feature"], where)
            search_batches(best, query, ((columns["id"], columns["feature"]) for columns in batches))
        return Best(best.rows, best.scores)

    def add(self, entries: Entries) -> None:
        """Add images, see `Store.add`: they count when all have been inserted."""
        if not len(entries):
            return
        self.refresh()
        state = self._state
        require_new(entries.names, self._among(entries.names))
        require_fit(self.address, self.header, self._weights(), entries)
        columns = tuple(dict.fromkeys([*self.header.columns, *entries.columns]))
        rows = columns_of_entries(entries, state.next_id, columns)
        require_storable(rows)
        new = f"id >= {state.next_id}"
        if self._collection.some(new, ["id"]):  # left by an `add` that did not end
            self._require_unchanged()
            self._collection.delete_where(new)
        self._insert(rows)
        if self._collection.count(new) != len(entries):
            raise self._changed_meanwhile()
        header = replace(state.header, columns=columns)
        images = None if state.images is None else state.images + len(entries)
        self._commit(state.after(header=header, next_id=state.next_id + len(entries), images=images))

    def remove(self, names: Sequence[str]) -> None:
        """Remove images, see `Store.remove`: what an interrupted call has removed stays removed."""
        wanted = list(dict.fromkeys(names))
        if not wanted:
            return
        self.refresh()
        found = self._among(wanted)
        require_there(wanted, found)
        before = self._state.images
        self._commit(self._state.after(images=None))
        ids = list(found.values())
        for first in range(0, len(ids), LISTED):
            self._collection.delete(ids[first : first + LISTED])
        self._commit(self._state.after(images=self.count() if before is None else before - len(ids)))

    def check(self) -> int:
        """Verify every row, see `Store.check`, and that each name is found by its words."""
        return check_rows(self.address, self._checked_batches())

    def optimize(self) -> None:
        """Have the server write, index and merge what was added; it goes on with that after the return."""
        self._collection.flush()
        self._collection.compact()

    def _all_columns(self) -> list[str]:
        return [*OWN_COLUMNS, *self.header.columns]

    @property
    def _at_once(self) -> int:
        """How many images there are in a request, or an answer."""
        return max(1, min(MOST_ROWS, BYTES_AT_ONCE // (4 * self.header.channels)))

    def _condition(self, where: Filter) -> str:
        """Return the condition for images that belong to the version that is read."""
        return f"id < {self._state.next_id} AND {where.milvus(self.header.columns)}"

    def _rows(self, columns: Sequence[str], where: Filter) -> Iterator[list[Row]]:
        return self._collection.batches(self._condition(where), columns, self._at_once)

    def _batches(self, names: Sequence[str], where: Filter) -> Iterator[Columns]:
        """Yield columns of images, of some at a time."""
        for rows in self._rows(stored_columns(names), where):
            with damage_named(self.address):
                columns = columns_of(rows, names, self.header.channels)
            yield columns

    def _checked_batches(self) -> Iterator[Columns]:
        names = self._all_columns()
        for rows in self._rows([*stored_columns(names), WORDS], EVERY):
            with damage_named(self.address):
                require_words(rows)
                columns = columns_of(rows, names, self.header.channels)
            yield columns

    def _read_all(self, names: Sequence[str], where: Filter) -> Columns:
        """Return columns of images, ascending by id."""
        wanted = [*dict.fromkeys(["id", *names])]
        batches = deque(self._batches(wanted, where))
        found, row = empty_columns(wanted, sum(len(batch["id"]) for batch in batches), self.header.channels), 0
        while batches:  # a batch is freed when it is copied: joining all at once would need twice the memory
            batch = batches.popleft()
            for name, values in batch.items():
                found[name][row : row + len(values)] = values
            row += len(batch["id"])
        if (np.diff(found["id"]) <= 0).any():
            raise StoreFault(f"{self.address}: damaged, an id occurs more than once; {rebuild()}")
        return {name: found[name] for name in names}

    def _sorted_ids(self, where: Filter, order: str) -> Numbers:
        """Return the ids of images ascending by a column. Those of the last call are kept: Milvus does not sort."""
        key = (self.version, order, where)
        if self._sorted is None or self._sorted[0] != key:
            columns = self._read_all(["id", order], where)
            self._sorted = key, columns["id"][np.argsort(columns[order], kind="stable")]
        return self._sorted[1]

    def _search_index(self, best: Matches, query: Matrix, where: Filter) -> None:
        """Merge into `best` what the index finds; the scores are those of the vectors."""
        condition, most = self._condition(where), best.rows.shape[1] + SPARE
        parameters = {"ef": min(max(BREADTH * most, LEAST_BREADTH), 2 * MOST_ROWS)}
        at_once = max(1, min(QUERIES_AT_ONCE, BYTES_AT_ONCE // (4 * most * self.header.channels)))
        for first in range(0, len(query), at_once):
            part = slice(first, first + at_once)
            hits = self._collection.nearest(query[part], condition, most, parameters)
            rows = np.repeat(np.arange(len(hits)), [len(one) for one in hits])
            flat = [{"id": hit["id"], "feature": hit["entity"]["feature"]} for one in hits for hit in one]
            with damage_named(self.address):
                columns = columns_of(flat, ["id", "feature"], self.header.channels)
            scores = cosines(query[part], columns["feature"], rows, np.arange(len(rows)))
            merge_best(Matches(best.rows[part], best.scores[part]), rows, columns["id"], scores)

    def _among(self, names: Sequence[str]) -> dict[str, int]:
        """Return the ids of those of the names that are in the gallery."""
        return ids_by_name(self._read_all, names, LISTED)

    def _weights(self) -> int | None:
        """Return the width of the attention of the images, None if there is no image."""
        some = self._collection.some(self._condition(EVERY), ["id", "attention"])
        with damage_named(self.address):
            attention = columns_of(some, ["attention"], 0)["attention"]
        return len(attention[0]) // 4 if len(attention) else None

    def _insert(self, columns: Columns) -> None:
        for first in range(0, len(columns["id"]), self._at_once):
            some = {name: cells[first : first + self._at_once] for name, cells in columns.items()}
            self._collection.insert(list(rows_of(some)))

    def _commit(self, state: State) -> None:
        """Make a state the gallery's. Raises UserError if another process has changed the gallery meanwhile."""
        self._require_unchanged()
        self._collection.put(state_row(state))
        self._state = state

    def _require_unchanged(self) -> None:
        """Raise StoreFault if another process has changed the gallery since it was read."""
        if _read_state(self._collection) != self._state:
            raise self._changed_meanwhile()

    def _changed_meanwhile(self) -> StoreFault:
        return StoreFault(
            f"{self.address}: another process changed the gallery at the same time; let only one write, then repeat "
            "the command"
        )


def _found_state(collection: Collection) -> State | None:
    """Return the state of a gallery, None if there is none, or an unfinished one.

    Raises UserError if the collection is of something else.
    """
    columns = collection.columns()
    if columns is None:
        return None
    if {name: kind for name, (kind, _) in columns.items()} != TYPES:
        raise UserError(
            f"{collection.address}: a collection of something else, with columns such as {next(iter(columns))}; "
            "choose another name"
        )
    collection.load()
    state = _read_state(collection)
    if state is None and collection.some("id >= 0", ["id"]):
        raise StoreFault(f"{collection.address}: not a valid gallery (its row {STATE_ID} is missing); {rebuild()}")
    if state is None or not state.version:
        return None
    if columns["feature"] != (VECTOR, state.header.channels):
        found = columns["feature"][1]
        raise StoreFault(
            f"{collection.address}: not a valid gallery (features of {found} channels, not {state.header.channels}); "
            f"{rebuild()}"
        )
    return state


def _read_state(collection: Collection) -> State | None:
    rows = collection.some(f"id == {STATE_ID}", ["id", "name"])
    with damage_named(collection.address):
        return state_of(rows[0]) if rows else None
