"""Files: whole or absent whatever fails, strict JSON, hashes by another way."""

import errno
import hashlib
import json
from pathlib import Path
from typing import Any, NoReturn

import pytest
from soak.disk.traps import Trap, no_file_longer_than, trapped

from data_cache.base.errors import UserError
from data_cache.base.files import (
    append_json_line,
    matching,
    read_json,
    read_json_lines,
    remove,
    replacing,
    sha256_of_bytes,
    sha256_of_file,
    sha256_of_names,
    write_atomically,
    write_json,
)


def fail(*arguments: Any, **options: Any) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


def write_half(path: Path, data: bytes) -> NoReturn:
    with path.open("wb") as file:
        file.write(data[: len(data) // 2])
    fail()


def test_what_is_written_is_read_and_nothing_else_lies_there(tmp_path: Path) -> None:
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
def test_an_error_of_the_writer_goes_through_and_keeps_the_old_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(type(error)), replacing(path) as temporary:
        temporary.write_bytes(b"new")
        raise error
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with replacing(path) as temporary:
        assert temporary.parent == path.parent  # a rename is only atomic within one file system
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def test_a_place_that_cannot_be_written_is_a_fault_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be written"):
        write_atomically(tmp_path / "file" / "below", b"data")


def test_json_comes_back_as_it_was(tmp_path: Path) -> None:
    value = {"zeta": [1, 2.5, None, True], "alpha": {"ü½": "\n"}, "large": 2**60}
    write_json(tmp_path / "v.json", value)
    assert read_json(tmp_path / "v.json") == value
    assert list(read_json(tmp_path / "v.json")) == ["zeta", "alpha", "large"]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_lacks_are_not_written(tmp_path: Path, number: float) -> None:
    write_json(tmp_path / "v.json", 1)
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "v.json", {"score": number})
    assert read_json(tmp_path / "v.json") == 1
    with pytest.raises(ValueError, match="JSON compliant"):
        append_json_line(tmp_path / "log", {"score": number})


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", '{"a": -Infinity}', "1e999", "[-1e999]", '{"a": 1', "", "{'a': 1}", "[" * 100_000]
)
def test_json_that_is_not_strict_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"bad\.json: cannot be read as JSON"):
        read_json(path)


def test_json_that_is_no_text_or_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes.json").write_bytes(b'{"a": "\xff"}')
    for path, reason in ((tmp_path / "bytes.json", "cannot be read"), (tmp_path, "cannot be read")):
        with pytest.raises(UserError, match=reason):
            read_json(path)
    with pytest.raises(UserError, match="no such file"):
        read_json(tmp_path / "missing.json")


def test_a_log_grows_by_lines_and_loses_only_the_line_that_was_cut(tmp_path: Path) -> None:
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
def test_a_damaged_log_is_named(tmp_path: Path, damage: bytes) -> None:
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


def test_append_writes_lines_that_json_alone_understands(tmp_path: Path) -> None:
    append_json_line(tmp_path / "log", {"b": 1, "a": [2]})
    assert [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()] == [{"b": 1, "a": [2]}]


def test_a_line_that_the_system_refuses_is_not_there_in_part(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append_json_line(path, {"epoch": 1})
    before = path.read_bytes()
    with trapped(quiet := Trap(tmp_path)):
        append_json_line(path, {"epoch": 2})
    after = path.read_bytes()
    assert [name for name, _ in quiet.seen].count("write") == 1
    for at in range(1, len(quiet.seen) + 1):
        path.write_bytes(before)
        told = r"log\.jsonl: cannot be written \(No space left on device\); it is as before"
        with trapped(Trap(tmp_path, at, errno.ENOSPC)), pytest.raises(UserError, match=told):
            append_json_line(path, {"epoch": 2})
        assert path.read_bytes() == before
        append_json_line(path, {"epoch": 2})
        assert path.read_bytes() == after


def test_a_line_that_a_full_disk_cuts_is_not_there_in_part(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append_json_line(path, {"epoch": 1})
    with no_file_longer_than(20), pytest.raises(UserError, match="File too large"):
        append_json_line(path, {"epoch": 2})
    assert read_json_lines(path) == [{"epoch": 1}] and path.read_bytes().endswith(b"}\n")


def test_what_a_killed_run_left_of_a_line_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for left in (b'{"epoch": 1}\n{"ep', b'{"epoch": 1}\n', b'{"epoch": 1}\n{"epoch": 2}'):
        path.write_bytes(left)
        append_json_line(path, {"epoch": 3})
        assert read_json_lines(path) == [{"epoch": 1}, {"epoch": 3}]
    path.write_bytes(b"{")
    append_json_line(path, {"epoch": 3})
    assert read_json_lines(path) == [{"epoch": 3}]


def test_what_nobody_needs_is_removed_or_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old").touch()
    with trapped(Trap(tmp_path, 1, errno.EIO)):
        remove(tmp_path / "old")
    assert capsys.readouterr().err == f"{tmp_path / 'old'}: cannot be removed (Input/output error)\n"
    for _ in range(2):
        remove(tmp_path / "old")
    assert not list(tmp_path.iterdir()) and capsys.readouterr().err == ""


def test_what_matches_is_sorted_and_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    for name in ("b.h5", "a.h5", "a.png"):
        (tmp_path / name).touch()
    assert matching(tmp_path, "*.h5") == [tmp_path / "a.h5", tmp_path / "b.h5"]
    assert matching(tmp_path / "none", "*.h5") == []
    with pytest.raises(UserError, match=r"x: cannot be used \(File name too long\)"):
        matching(tmp_path / ("x" * 300), "*/a")
