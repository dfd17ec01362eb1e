"""Keeping a LanceDB table fast and small: merged files, indices of all rows, no old versions; and notes about it."""

from datetime import datetime, timedelta

from lancedb.index import Bitmap, BTree, IvfRq
from lancedb.table import LanceTable

from vehicle_reid.gallery.store import INDEXED_FROM

REBUILD_FACTOR = 4  # build the indices again when the gallery is this many times as large
INDICES = {
    # 8 bits a channel find 0.99 of the best 10 where 1 bit, the default, finds 0.43; never num_partitions: with them
    # recall falls when rows are added
    "feature": IvfRq(distance_type="dot", num_bits=8),
    "id": BTree(),
    "name": BTree(),
    "time": BTree(),
    "camera": Bitmap(),
}
ROWS_PER_FILE, FEWEST_FILES, MOST_FILES = 5_000, 16, 200  # small files that a table may have, by its size
UNINDEXED = 0.05  # share of the rows that a search may read one by one
VERSIONS = 256  # changes after which the table is put in order in any case
KEPT = timedelta(hours=1)  # a version that was replaced less long ago may still be read

NEXT_ID, INDEXED_ROWS = "next_id", "indexed_rows"  # notes: the id above all that were ever used; the size when indexed


def noted(table: LanceTable, key: str) -> int:
    """Return a number that `note` wrote, 0 if it did not."""
    return int((table.schema.field("id").metadata or {}).get(key.encode(), 0))


def note(table: LanceTable, key: str, value: int) -> None:
    """Write a number into the metadata of the column id, which is a commit: LanceDB cannot change a table's own."""
    table.update_field_metadata({"path": "id", "metadata": {key: str(value)}})


def is_due(table: LanceTable, before: int) -> bool:
    """Return whether a table should be put in order, after a change of the version `before`."""
    rows, files = table.count_rows(), table.stats()["fragment_stats"]["num_small_fragments"]
    unindexed = max((index.num_unindexed_rows or 0 for index in table.list_indices()), default=0)
    too_many = files > min(MOST_FILES, max(FEWEST_FILES, rows // ROWS_PER_FILE))
    too_old = before // VERSIONS != table.version // VERSIONS
    return too_many or too_old or unindexed > UNINDEXED * rows or _has_outgrown_indices(table, rows)


def put_in_order(table: LanceTable, *, approximate: bool) -> None:
    """Merge small files, bring all rows into the indices, and delete versions that nobody reads any more.

    A table that is large enough gets indices: of the features too if it is `approximate`.
    """
    table.optimize(cleanup_older_than=_age_of_unread_versions(table))
    rows = table.count_rows()
    if _has_outgrown_indices(table, rows):
        for column, config in INDICES.items():
            if column != "feature" or approximate:
                table.create_index(column, config=config, replace=True)
        note(table, INDEXED_ROWS, rows)


def _has_outgrown_indices(table: LanceTable, rows: int) -> bool:
    return rows >= INDEXED_FROM and rows > REBUILD_FACTOR * noted(table, INDEXED_ROWS)


def _age_of_unread_versions(table: LanceTable) -> timedelta:
    """Return an age: older versions were replaced more than `KEPT` ago.

    The newest version of that age was replaced later, perhaps just now: it stays.
    """
    now = datetime.now()
    ages = [now - version["timestamp"] for version in table.list_versions()]
    return min((age for age in ages if age > KEPT), default=KEPT) + timedelta(minutes=1)  # LanceDB looks a bit later
