"""The traps at what touches the disk, and the trees that they are compared by."""

import os
import resource
import shutil
from pathlib import Path

import pytest

from soak.disk.traps import Trap, no_file_longer_than, trapped
from soak.inputs.trees import differences, lay, read_tree, settled


def test_a_trap_takes_every_call_on_its_folder_and_no_other(tmp_path: Path) -> None:
    def calls() -> None:
        (tmp_path / "in/a/b").mkdir(parents=True)
        (tmp_path / "in/a/b/c").write_text("1")
        with (tmp_path / "in/a/d").open("r+" if (tmp_path / "in/a/d").exists() else "w+") as file:
            file.write("2")
        (tmp_path / "in/a/d").rename(tmp_path / "in/a/e")
        assert (tmp_path / "in/a/e").read_bytes() == b"2"
        (tmp_path / "out").write_bytes(b"3")
        shutil.rmtree(tmp_path / "in/a")

    (tmp_path / "in").mkdir()
    with trapped(quiet := Trap(tmp_path / "in")):
        calls()
    names = [name for name, _ in quiet.seen]
    assert {"mkdir", "open to write", "write", "rename", "open", "unlink", "rmdir"} <= set(names)
    assert all(path.is_relative_to(tmp_path / "in") for _, path in quiet.seen)
    assert quiet.put == {tmp_path / "in/a/e": [b"2"]}
    for at, name in enumerate(names, start=1):
        with trapped(Trap(tmp_path / "in", at, 28)), pytest.raises(OSError, match="No space left") as caught:
            calls()
        assert caught.value.errno == 28 and caught.value.filename is not None, name
        shutil.rmtree(tmp_path / "in/a", ignore_errors=True)


@pytest.mark.parametrize("mode", ["wb", "ab", "r+b"])
def test_half_of_a_write_that_fails_is_done(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    with trapped(Trap(tmp_path, 2, 5)), pytest.raises(OSError, match="Input/output"), path.open(mode) as file:
        file.write(b"0123456789")
    assert path.read_bytes() == b"01234"


def test_what_is_written_through_a_trap_is_what_was_given(tmp_path: Path) -> None:
    with trapped(Trap(tmp_path)):
        (tmp_path / "text").write_text("ä\n" * 10_000, encoding="utf-8")
        descriptor = os.open(tmp_path / "raw", os.O_WRONLY | os.O_CREAT)
        assert os.write(descriptor, b"123") == 3
        os.close(descriptor)
    assert (tmp_path / "text").read_text(encoding="utf-8") == "ä\n" * 10_000
    assert (tmp_path / "raw").read_bytes() == b"123"


def test_the_system_refuses_long_files_and_no_longer(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with no_file_longer_than(9), pytest.raises(OSError, match="File too large"):
        (tmp_path / "file").write_bytes(b"0123456789")
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == before
    (tmp_path / "file").write_bytes(b"0123456789")


def test_a_tree_is_laid_down_as_it_was_read(tmp_path: Path) -> None:
    lay({"a": None, "a/b": b"1", "c": b"2", "d": None}, tmp_path)
    tree = read_tree(tmp_path)
    assert tree == {"a": None, "a/b": b"1", "c": b"2", "d": None}
    lay({"a": b"now a file", "c": None, "c/e": b"3"}, tmp_path)
    found = read_tree(tmp_path)
    assert found == {"a": b"now a file", "c": None, "c/e": b"3"}
    told = differences(found, tree)
    assert told == ["a/b is missing", "d is missing", "c/e is there", "a is another", "c is another"]


def test_times_and_rates_are_no_difference_and_all_else_is() -> None:
    for name, one, other in (
        (
            "metrics.json",
            b'{"made": "2026-01-02T03:04:05+00:00", "a": 1}',
            b'{"made": "2027-01-02T03:04:06+00:00", "a": 1}',
        ),
        ("table.md", b"Training time: 0 min 2 s\n", b"Training time: 61 min 0 s\n"),
        ("metrics.json", b'{"commit": "' + b"a" * 40 + b'"}', b'{"commit": "' + b"b" * 40 + b'"}'),
        ("log.jsonl", b'{"epoch": 1, "images_per_second": 3.5}\n', b'{"epoch": 1, "images_per_second": 9e-1}\n'),
        ("log.jsonl", b'{"epoch": 1, "a": 2}\n{"epoch": 1, "a": 3}\n', b'{"epoch": 1, "a": 3}\n'),
    ):
        assert settled(name, one) == settled(name, other) and one != other
    for one, other in ((b'{"epoch": 1}\n{"ep', b'{"epoch": 1}\n'), (b'{"epoch": 1}\n', b'{"epoch": 2}\n')):
        assert settled("log.jsonl", one) != settled("log.jsonl", other)
    assert settled("m.json", b'"' + b"a" * 64 + b'"') != settled("m.json", b'"' + b"b" * 64 + b'"')
    assert settled("a.csv", b"2026-01-02T03:04:05+00:00") == b"2026-01-02T03:04:05+00:00"
