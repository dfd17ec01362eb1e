"""Requests to the stores of addresses: files read and written whole, many at a time, failed requests repeated."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from data_cache.base.errors import UserError, printable
from data_cache.base.remote.addresses import Address, Location, file_system, require_uploads

Answer = TypeVar("Answer")
Request = Callable[[Any, str], Answer]  # of a file system of fsspec and a file in it

AT_ONCE = 16  # requests that wait for the store together
WAITS = (0.5, 2.0, 8.0)  # seconds before a failed request is repeated
LASTING = (PermissionError, ValueError, TypeError)  # errors that are the same a second later


def read_files(addresses: Sequence[Address]) -> list[bytes | None]:
    """Return the content of each file, None where there is none; requests to one store run together.

    A request that fails is repeated. Raises UserError with the address if it still fails, or is not allowed.
    """
    return _answers(lambda store, path: bytes(store.cat_file(path)), addresses)


def sizes_of_files(addresses: Sequence[Address]) -> list[int | None]:
    """Return the size of each file in bytes, None where there is none; otherwise as `read_files`.

    Raises UserError if a web server does not say it.
    """
    found = _answers(lambda store, path: store.info(path), addresses)
    return [
        None if entry is None or entry["type"] != "file" else _size(entry, address)
        for entry, address in zip(found, addresses, strict=True)
    ]


def upload(file: Path, address: Address) -> None:
    """Copy a finished file to its address, where it appears whole or not at all.

    Raises UserError if that fails.
    """
    require_uploads(address)

    def put(store: Any, path: str) -> bool:
        store.put_file(str(file), path)
        return True

    if not _answer(put, file_system(address), address):
        raise UserError(f"{address}: no such bucket or folder; make it, and run the command again")
    (size,) = sizes_of_files([address])
    if size != file.stat().st_size:
        raise UserError(f"{address}: has {size} bytes after {file.stat().st_size} were copied there; run it again")


@contextmanager
def local_file(location: Location) -> Iterator[Path]:
    """Yield the path to write a file to; for an address a temporary one, whose file is then uploaded.

    Raises UserError as `upload`.
    """
    if isinstance(location, Path):
        yield location
        return
    with TemporaryDirectory() as folder:
        file = Path(folder, location.name)
        yield file
        upload(file, location)


def _size(entry: dict[str, Any], address: Address) -> int:
    if entry.get("size") is None:
        raise UserError(f"{address}: the server does not tell the file's size; use another server, or copy the files")
    return int(entry["size"])


def _answers(request: Request[Answer], addresses: Sequence[Address]) -> list[Answer | None]:
    if not addresses:
        return []
    store = file_system(addresses[0])
    with ThreadPoolExecutor(min(AT_ONCE, len(addresses))) as pool:
        return list(pool.map(partial(_answer, request, store), addresses))


def _answer(request: Request[Answer], store: Any, address: Address) -> Answer | None:
    """Return the store's answer, None if it has no such file."""
    for wait in (*WAITS, None):
        try:
            return request(store, address.text)
        except FileNotFoundError:
            return None
        except Exception as error:  # each package raises types of its own
            if wait is None or isinstance(error, LASTING):
                reason = printable((str(error).strip() or type(error).__name__).splitlines()[0][:200])
                raise UserError(f"{address}: the store does not answer as it should ({reason})") from error
        time.sleep(wait)
    raise AssertionError("the last wait is None")
