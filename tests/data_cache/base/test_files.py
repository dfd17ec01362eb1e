"""Files are whole or absent whatever fails; JSON is strict; hashes agree with hashlib."""

import errno
import hashlib
import os
from pathlib import Path
from typing import Any, NoReturn

import pytest

from data_cache.base.errors import UserError
from data_cache.base.files import (
    append_json_line,
    read_json,
    read_json_lines,
    remove,
    remove_temporary_files,
    replacing,
    sha256_of_bytes,
    sha256_of_file,
    sha256_of_names,
    sorted_glob,
    temporary_files_of,
    write_atomically,
    write_json,
)
from helpers.faults.traps import Trap, file_size_limit, trapped


def fail(*arguments: Any, **options: Any) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


def write_half(path: Path, data: bytes) -> NoReturn:
    with path.open("wb") as file:
        file.write(data[: len(data) // 2])
    fail()


def test_atomic_writing_leaves_one_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.bin"
    for data in (b"first", b"", bytes(range(256)) * 100):
        write_atomically(path, data)
        assert path.read_bytes() == data
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("target", "replacement"),
    [("os.fsync", fail), ("pathlib.Path.replace", fail), ("pathlib.Path.chmod", fail), ("tempfile.mkstemp", fail)],
)
def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, replacement: Any
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    monkeypatch.setattr(target, replacement)
    with pytest.raises(UserError, match=r"file: cannot be written \(No space left on device\)"):
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_half_way_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(UserError, match="cannot be written"):
        write_atomically(path, b"new and longer")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_an_error_in_the_with_block_keeps_the_old_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(type(error)), replacing(path) as temporary:
        temporary.write_bytes(b"new")
        raise error
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_exists_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with replacing(path) as temporary:
        assert temporary.parent == path.parent  # a rename is only atomic within one file system
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def test_temporary_files_of_many_paths_are_found_with_one_listing_of_each_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "n" * 200
    paths = [tmp_path / folder / name for folder in ("a", "b", "gone") for name in ("1.jpg", "2.jpg", "[x].jpg", long)]
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    strays = {tmp_path / f"a/.{name}.abcd_123.tmp" for name in ("1.jpg", "[x].jpg", long[:80])}
    kept = {tmp_path / f"b/{name}" for name in (".other.jpg.abcd_123.tmp", ".1.jpg.short.tmp", "1.jpg", "x.tmp")}
    for path in strays | kept:
        path.write_bytes(b"")
    listed = []

    def scandir(folder: Any) -> Any:
        listed.append(Path(folder))
        return original(folder)

    original = os.scandir
    monkeypatch.setattr(os, "scandir", scandir)
    assert {*temporary_files_of(*paths)} == strays
    assert sorted(listed) == [tmp_path / "a", tmp_path / "b"]
    remove_temporary_files(*paths)
    assert not any(path.exists() for path in strays) and all(path.exists() for path in kept)


def test_a_path_below_a_file_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be written"):
        write_atomically(tmp_path / "file" / "below", b"data")


def test_json_round_trip(tmp_path: Path) -> None:
    value = {"zeta": [1, 2.5, None, True], "alpha": {"ü½": "\n"}, "large": 2**60}
    write_json(tmp_path / "v.json", value)
    assert read_json(tmp_path / "v.json") == value
    assert list(read_json(tmp_path / "v.json")) == ["zeta", "alpha", "large"]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_nan_and_infinity_are_not_written(tmp_path: Path, number: float) -> None:
    write_json(tmp_path / "v.json", 1)
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "v.json", {"score": number})
    assert read_json(tmp_path / "v.json") == 1
    with pytest.raises(ValueError, match="JSON compliant"):
        append_json_line(tmp_path / "log", {"score": number})


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", '{"a": -Infinity}', "1e999", "[-1e999]", '{"a": 1', "", "{'a': 1}", "[" * 100_000]
)
def test_invalid_json_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"bad\.json: cannot be read as JSON"):
        read_json(path)


def test_json_of_other_encodings_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes.json").write_bytes(b'{"a": "\xff"}')
    for path, reason in ((tmp_path / "bytes.json", "cannot be read"), (tmp_path, "cannot be read")):
        with pytest.raises(UserError, match=reason):
            read_json(path)
    with pytest.raises(UserError, match="no such file"):
        read_json(tmp_path / "missing.json")


def test_a_truncated_log_loses_only_its_last_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert read_json_lines(path) == []
    lines = [{"epoch": number, "note": "a\nb ü"} for number in range(4)]
    for line in lines:
        append_json_line(path, line)
    whole = path.read_bytes()
    assert read_json_lines(path) == lines
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        assert read_json_lines(path) == lines[: whole[:length].count(b"\n")]


@pytest.mark.parametrize(
    "damage",
    [b'{"epoch": 1\n{"epoch": 2}\n', b"\xff\xfe\n", b"{}{}\n", b"3\n", b'{"loss": NaN}\n', b"[" * 100_000 + b"\n"],
)
def test_a_damaged_log_is_refused(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(damage)
    with pytest.raises(UserError, match=r"log\.jsonl: damaged log"):
        read_json_lines(path)


def test_hashes_are_sha256(tmp_path: Path) -> None:
    assert sha256_of_bytes(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
    data = bytes(range(251)) * 10_000  # more than one block
    (tmp_path / "file").write_bytes(data)
    assert sha256_of_file(tmp_path / "file") == hashlib.sha256(data).hexdigest()
    with pytest.raises(UserError, match="cannot be read"):
        sha256_of_file(tmp_path)


def test_different_lists_of_names_have_different_hashes() -> None:
    lists = [[], [""], ["a"], ["a", "b"], ["b", "a"], ["ab"], ["a,b"], ['a", "b'], ["ä"], ["a", "b", ""]]
    assert len({sha256_of_names(names) for names in lists}) == len(lists)
    assert sha256_of_names(("a", "b")) == sha256_of_names(["a", "b"])


def test_a_line_that_a_full_disk_cuts_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append_json_line(path, {"epoch": 1})
    with file_size_limit(20), pytest.raises(UserError, match="File too large"):
        append_json_line(path, {"epoch": 2})
    assert read_json_lines(path) == [{"epoch": 1}] and path.read_bytes().endswith(b"}\n")


def test_an_incomplete_last_line_is_cut_off_before_appending(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for left in (b'{"epoch": 1}\n{"ep', b'{"epoch": 1}\n', b'{"epoch": 1}\n{"epoch": 2}'):
        path.write_bytes(left)
        append_json_line(path, {"epoch": 3})
        assert read_json_lines(path) == [{"epoch": 1}, {"epoch": 3}]
    path.write_bytes(b"{")
    append_json_line(path, {"epoch": 3})
    assert read_json_lines(path) == [{"epoch": 3}]


def test_a_file_that_cannot_be_removed_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old").touch()
    with trapped(Trap(tmp_path, 1, errno.EIO)):
        remove(tmp_path / "old")
    assert capsys.readouterr().err == f"{tmp_path / 'old'}: cannot be removed (Input/output error)\n"
    for _ in range(2):
        remove(tmp_path / "old")
    assert not list(tmp_path.iterdir()) and capsys.readouterr().err == ""


def test_sorted_glob_is_sorted_and_names_an_impossible_folder(tmp_path: Path) -> None:
    for name in ("b.h5", "a.h5", "a.png"):
        (tmp_path / name).touch()
    assert sorted_glob(tmp_path, "*.h5") == [tmp_path / "a.h5", tmp_path / "b.h5"]
    assert sorted_glob(tmp_path / "none", "*.h5") == []
    with pytest.raises(UserError, match=r"x: cannot be used \(File name too long\)"):
        sorted_glob(tmp_path / ("x" * 300), "*/a")
