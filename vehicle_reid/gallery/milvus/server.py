"""A collection on a Milvus server: requests with a time limit, and errors of one line that name the address."""

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import grpc
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException

from data_cache.base.errors import UserError, printable
from reid.retrieval.ranking import Matrix
from vehicle_reid.gallery.store import StoreFault

TOKEN = "MILVUS_TOKEN"  # environment variable: a token, or USER:PASSWORD
PORTS = {"http": 19530, "https": 443}  # where the address has none
NAME = re.compile("[A-Za-z_][A-Za-z0-9_]{0,254}")  # of a collection or a database
CONNECT_SECONDS, SECONDS = 10.0, 300.0  # limits, of the connection and of a request; loading a collection takes long
# The client's own 10 seconds between pings are fewer than many servers take: they close a connection after 3 pings
# that come within 5 minutes of each other, with an error for the next request. Requests have limits of their own.
CONNECTION = {"grpc.keepalive_time_ms": 600_000}
MOST_BYTES = 65_535  # of a text
MOST_ROWS = 16_384  # of an answer
BYTES_AT_ONCE = 2**24  # of features, in a request or an answer
TEXT, NUMBER, OBJECT, VECTOR = "VARCHAR", "INT64", "JSON", "FLOAT_VECTOR"  # types of columns
NO_ACCESS = re.compile("authenticat|auth check|permission|privilege|token", re.IGNORECASE)  # in a server's errors
ACCESS_REMEDY = f"set {TOKEN} to a token, or USER:PASSWORD, that may use it"
SERVER_REMEDY = "check that a Milvus server runs there and can be reached, and its logs"
Row = Mapping[str, Any]

for name in ("pymilvus", "pymilvus.milvus_client"):  # they print a traceback for each error, which we report
    logging.getLogger(name).setLevel(logging.CRITICAL)


class Place(NamedTuple):
    """What an address names; the database "" is the server's default."""

    server: str
    database: str
    collection: str


def place_of(address: str) -> Place:
    """Return what http://HOST:PORT/COLLECTION or http://HOST:PORT/DATABASE/COLLECTION names, likewise of https.

    Raises UserError for any other address, whose secrets are not repeated.
    """
    without_user = re.sub(r"//.*@", "//", address)
    shown = printable(re.sub(r"[?#].*", "", without_user))
    if shown != printable(address):
        raise UserError(
            f"{shown}: give no user, password or token in the address; set {TOKEN}=USER:PASSWORD, or a token"
        )
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or PORTS[parts.scheme]
    except (ValueError, LookupError):
        host, port = None, 0
    names = parts.path.strip("/").split("/") if host else []
    if len(names) not in (1, 2) or not all(NAME.fullmatch(name) for name in names):
        raise UserError(
            f"{shown}: not the address of a collection; give http://HOST:PORT/COLLECTION or "
            "http://HOST:PORT/DATABASE/COLLECTION, with names of letters, digits and _"
        )
    named = f"[{host}]" if ":" in str(host) else host
    return Place(f"{parts.scheme}://{named}:{port}", names[0] if len(names) == 2 else "", names[-1])


class Collection:
    """A collection with a key `id` and a vector `feature`; it need not exist. All methods raise StoreFault."""

    def __init__(self, address: str) -> None:
        """Connect to its server, with the token of the environment."""
        self.address, place = address, place_of(address)
        self._name = place.collection
        with self._reporting():
            token = os.environ.get(TOKEN, "")
            self._client = MilvusClient(
                place.server, token=token, db_name=place.database, timeout=CONNECT_SECONDS, grpc_options=CONNECTION
            )

    def columns(self) -> dict[str, tuple[str, int]] | None:
        """Return type and dimension, 0 of all but vectors, of each column by name; None if there is no collection."""
        with self._reporting():
            if not self._client.has_collection(self._name, timeout=SECONDS):
                return None
            fields = self._client.describe_collection(self._name, timeout=SECONDS)["fields"]
        return {field["name"]: (field["type"].name, int(field["params"].get("dim", 0))) for field in fields}

    def create(self, columns: Mapping[str, str], channels: int, indices: Mapping[str, Mapping[str, Any]]) -> None:
        """Create it, with the type of each column by name and the index of those that have one, and load it."""
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        sizes = {TEXT: {"max_length": MOST_BYTES}, VECTOR: {"dim": channels}}
        for name, kind in columns.items():
            schema.add_field(name, DataType[kind], is_primary=name == "id", **sizes.get(kind, {}))
        parameters = MilvusClient.prepare_index_params()
        for name, index in indices.items():
            parameters.add_index(name, **index)
        with self._reporting():
            self._client.create_collection(
                self._name, schema=schema, index_params=parameters, consistency_level="Strong", timeout=SECONDS
            )

    def drop(self) -> None:
        """Delete it."""
        with self._reporting():
            self._client.drop_collection(self._name, timeout=SECONDS)

    def load(self) -> None:
        """Wait until it can be searched."""
        with self._reporting():
            self._client.load_collection(self._name, timeout=SECONDS)

    def flush(self) -> None:
        """Write what was inserted to the server's files, of which it builds the indices."""
        with self._reporting():
            self._client.flush(self._name, timeout=SECONDS)

    def compact(self) -> None:
        """Have its files merged."""
        with self._reporting():
            self._client.compact(self._name, timeout=SECONDS)

    def insert(self, rows: Sequence[Row]) -> None:
        """Insert rows with ids that are not there."""
        with self._reporting():
            self._client.insert(self._name, list(rows), timeout=SECONDS)

    def put(self, row: Row) -> None:
        """Insert a row, or replace that of its id."""
        with self._reporting():
            self._client.upsert(self._name, [row], timeout=SECONDS)

    def delete(self, ids: Sequence[int]) -> None:
        """Delete the rows with these ids."""
        with self._reporting():
            self._client.delete(self._name, ids=list(ids), timeout=SECONDS)

    def delete_where(self, condition: str) -> None:
        """Delete the rows that meet a condition."""
        with self._reporting():
            self._client.delete(self._name, filter=condition, timeout=SECONDS)

    def count(self, condition: str) -> int:
        """Return the number of rows that meet a condition."""
        with self._reporting():
            return int(self._query(condition, ["count(*)"])[0]["count(*)"])

    def some(self, condition: str, columns: Sequence[str], most: int = 1) -> list[Row]:
        """Return columns of at most `most` of the rows that meet a condition."""
        with self._reporting():
            return list(self._query(condition, columns, limit=most))

    def batches(self, condition: str, columns: Sequence[str], size: int) -> Iterator[list[Row]]:
        """Yield columns of all rows that meet a condition, ascending by id, `size` <= `MOST_ROWS` at a time."""
        with self._reporting():
            rows = self._client.query_iterator(
                self._name,
                batch_size=size,
                filter=condition,
                output_fields=list(columns),
                consistency_level="Strong",
                timeout=SECONDS,
            )
        while True:
            with self._reporting():
                batch = rows.next()
            if not batch:
                return
            yield batch

    def nearest(self, query: Matrix, condition: str, most: int, parameters: Mapping[str, Any]) -> list[list[Row]]:
        """Return id and entity, with the feature, of about the `most` nearest rows to each query (Q, C)."""
        with self._reporting():
            found = self._client.search(
                self._name,
                data=list(query),
                anns_field="feature",
                filter=condition,
                limit=most,
                output_fields=["feature"],
                search_params={"metric_type": "IP", "params": dict(parameters)},
                consistency_level="Strong",
                timeout=SECONDS,
            )
        return [list(hits) for hits in found]

    def _query(self, condition: str, columns: Sequence[str], **limit: int) -> Sequence[Row]:
        found: Sequence[Row] = self._client.query(
            self._name,
            filter=condition,
            output_fields=list(columns),
            consistency_level="Strong",
            timeout=SECONDS,
            **limit,
        )
        return found

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Raise StoreFault, naming the address and a remedy, for what the client raises."""
        try:
            yield
        except (MilvusException, grpc.RpcError) as error:
            reason = _reason(error)
            remedy = ACCESS_REMEDY if NO_ACCESS.search(reason) else SERVER_REMEDY
            raise StoreFault(f"{self.address}: cannot be used ({reason}); {remedy}") from error


def _reason(error: Exception) -> str:
    """Return the first line of what an error says, without the token."""
    cause = error if isinstance(error, grpc.RpcError) else error.__cause__
    if isinstance(cause, grpc.Call):  # pymilvus says less of a failed connection than what failed
        message = f"{cause.code().name}: {cause.details()}"
    else:
        message = getattr(error, "message", "") or type(error).__name__
    line = printable(message.strip().splitlines()[0])[:200]
    token = os.environ.get(TOKEN, "")
    return line.replace(token, "...") if token else line
