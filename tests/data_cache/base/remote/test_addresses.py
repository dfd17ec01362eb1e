"""Addresses: which are read, whole and in order, what is repeated, and that no message shows a password."""

import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

from data_cache.base.errors import UserError
from data_cache.base.remote import requests
from data_cache.base.remote.addresses import Address, parse_location, require_path
from data_cache.base.remote.requests import local_file, read_files, sizes_of_files, upload
from helpers.places.web_folder import served

NAMES = ["b.jpg", "a b+c%20d#e?f.jpg", "ü[1]*.jpg", "x/ö&=.png"]
ROOT = Address("memory://bucket/data")


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[fsspec.AbstractFileSystem]:
    """An empty store in the memory of this process; a request that fails is repeated at once."""
    monkeypatch.setattr(requests, "WAITS", (0.0, 0.0, 0.0))
    memory = fsspec.filesystem("memory")
    yield memory
    memory.rm("/", recursive=True)


def fill(write: Callable[[str, bytes], object]) -> list[bytes]:
    """Write files of different sizes under the NAMES; return their contents."""
    contents = [name.encode() * (place + 1) for place, name in enumerate(NAMES)]
    for name, content in zip(NAMES, contents, strict=True):
        write(name, content)
    return contents


def failing(monkeypatch: pytest.MonkeyPatch, errors: list[Exception]) -> list[str]:
    """Let reads of the store fail with these errors, one after another; return a list that grows by what is read."""
    memory = type(fsspec.filesystem("memory"))
    read, asked = memory.cat_file, []

    def cat_file(self: fsspec.AbstractFileSystem, path: str, *arguments: object) -> bytes:
        asked.append(path)
        if errors:
            raise errors.pop(0)
        return bytes(read(self, path, *arguments))

    monkeypatch.setattr(memory, "cat_file", cat_file)
    return asked


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("data", Path("data")),
        ("/a/b c", Path("/a/b c")),
        ("file:///a/b", Path("/a/b")),
        ("memory://bucket/data/", Address("memory://bucket/data")),
        ("memory://bucket", Address("memory://bucket")),
    ],
)
def test_a_text_is_a_path_or_an_address(text: str, location: Path | Address) -> None:
    assert parse_location(text) == location


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("s3://key:secret@bucket/data", "password"),
        ("s3://key:sec/ret@bucket/data", "password"),
        ("https://secret@host/data", "password"),
        ("abfs://key:secret@account/data", "password"),
        ("https://host/data?signature=secret", r"no \?"),
        ("memory://data#secret", r"no \?"),
        ("memory://a::s3://secret", "::"),
        ("memory://", "no bucket"),
        ("s3:///secret", "no bucket"),
        ("reference://secret", "not a store"),
        ("sftp://host/secret", "not a store"),
    ],
)
def test_an_address_that_is_refused_is_not_shown(text: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason) as caught:
        parse_location(text)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(scheme: str) -> None:
        raise ImportError(f"Install {scheme}")

    monkeypatch.setattr(fsspec, "filesystem", missing)
    with pytest.raises(UserError, match=r"^gs://bucket: needs the package gcsfs; run `pip install gcsfs`$"):
        parse_location("gs://bucket")


def test_files_are_read_in_order_and_whole(store: fsspec.AbstractFileSystem) -> None:
    contents = fill(lambda name, content: store.pipe_file(f"/bucket/data/{name}", content))
    wanted = [*(ROOT / name for name in NAMES), ROOT / "none.jpg", ROOT / "x"]
    assert read_files(wanted) == [*contents, None, None]
    assert sizes_of_files(wanted) == [*map(len, contents), None, None]
    assert read_files([]) == [] == sizes_of_files([])


def test_a_web_server_and_forked_processes_read_the_same(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp", reason="the extra remote is not installed")

    def write(name: str, content: bytes) -> None:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)

    contents = fill(write)
    with served(tmp_path) as root:
        wanted = [*(root / name for name in NAMES), root / "none.jpg"]
        assert read_files(wanted) == [*contents, None]
        assert sizes_of_files(wanted) == [*map(len, contents), None]
        with multiprocessing.get_context("fork").Pool(2) as pool:  # after this process has connected
            assert pool.map(read_files, [wanted, wanted[::-1]]) == [[*contents, None], [None, *contents[::-1]]]


@pytest.mark.parametrize("failures", [0, 1, 3])
def test_a_request_that_fails_is_repeated(
    store: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    store.pipe_file("/bucket/data/a", b"1")
    asked = failing(monkeypatch, [ConnectionError("lost")] * failures)
    assert read_files([ROOT / "a"]) == [b"1"] and len(asked) == failures + 1


@pytest.mark.parametrize(
    ("error", "requests"), [(TimeoutError("no answer\nfor long"), 4), (PermissionError("not allowed"), 1)]
)
def test_a_request_that_goes_on_failing_is_one_line_with_the_address(
    store: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch, error: Exception, requests: int
) -> None:
    asked = failing(monkeypatch, [error] * 9)
    with pytest.raises(UserError) as caught:
        read_files([ROOT / "a"])
    assert len(asked) == requests
    reason = str(error).partition("\n")[0]
    assert str(caught.value) == f"memory://bucket/data/a: the store does not answer as it should ({reason})"


def test_a_file_is_uploaded_whole(store: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"new")
    store.pipe_file("/bucket/data/a", b"the old content")
    upload(tmp_path / "a", ROOT / "a")
    assert store.cat_file("/bucket/data/a") == b"new"


def test_a_file_to_write_is_local_or_is_uploaded_unless_writing_fails(
    store: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    with local_file(tmp_path / "a") as path:
        assert path == tmp_path / "a"
    with local_file(ROOT / "a.npy") as path:
        path.write_bytes(b"1")
    assert store.cat_file("/bucket/data/a.npy") == b"1" and not path.exists()
    with pytest.raises(ZeroDivisionError), local_file(ROOT / "a.npy") as path:
        path.write_bytes(b"half")
        raise ZeroDivisionError
    assert store.cat_file("/bucket/data/a.npy") == b"1" and not path.exists()


def test_a_copy_of_another_size_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"123")
    memory = type(fsspec.filesystem("memory"))
    monkeypatch.setattr(memory, "put_file", lambda self, source, path: self.pipe_file(path, b"12"))
    with pytest.raises(UserError, match="has 2 bytes after 3 were copied there"):
        upload(tmp_path / "a", ROOT / "a")


def test_a_bucket_that_is_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise FileNotFoundError("no such bucket")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "put_file", missing)
    with pytest.raises(UserError, match=r"memory://bucket/data/a: no such bucket or folder; make it"):
        upload(tmp_path / "a", ROOT / "a")


def test_web_servers_are_not_written_to(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="web servers are only read"):
        upload(tmp_path / "a", Address("https://host/a"))


def test_work_that_needs_a_folder_says_so() -> None:
    assert require_path(Path("a")) == Path("a")
    with pytest.raises(UserError, match="memory://bucket/data: this needs a folder on this machine"):
        require_path(ROOT)
