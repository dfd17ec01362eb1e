"""Storage that fails under every command that writes: a short form of `soak.storage`; it finds faulty commands."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from cli import Group
from data_cache.base.errors import UserError
from data_cache.base.files import remove_temporary_files, write_atomically
from helpers.faults.traps import Trap
from soak import cases
from soak.cases import CASES, Case, Place, new_place
from soak.checks import Undisturbed
from soak.storage import faults, hunt
from soak.trees import differences, read_tree, settled, write_tree

OLD, NEW = b"old" * 1000, b"new" * 1000


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with new_place() as made:
        yield made


@pytest.mark.parametrize("case", [case for case in CASES if case.short], ids=lambda case: case.name)
def test_failing_storage_costs_nothing_but_one_line(place: Place, case: Case) -> None:
    tries, lost = hunt(place, case, seed=0, most=case.short)
    assert 0 < tries <= case.short and not lost, lost


def test_every_command_has_a_case() -> None:
    """Galleries have test_lance_crash.py: LanceDB does its writing itself, and no two runs write the same bytes."""
    writing = set("synth detect train features evaluate report rank heatmaps ablate import-weights export".split())
    assert {case.words.split()[0] for case in CASES} >= writing | {"parts", "cache"}


def sound(path: Path) -> None:
    remove_temporary_files(path)
    write_atomically(path, NEW)


def writes_in_place(path: Path) -> None:
    try:
        path.write_bytes(NEW)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error


def lets_errors_escape(path: Path) -> None:
    write_atomically(path, NEW)
    path.with_name("b").write_bytes(b"")


def hides_the_failure(path: Path) -> None:
    try:
        sound(path)
    except UserError:
        click.echo(path)


def leaves_a_temporary_file(path: Path) -> None:
    temporary = path.with_name(".a.12345678.tmp")
    try:
        temporary.write_bytes(NEW)
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error


def stays_locked(path: Path) -> None:
    if path.with_name(".lock").exists():
        raise UserError(f"{path}: locked")
    path.with_name(".lock").touch()
    sound(path)
    path.with_name(".lock").unlink()


def fills_a_folder_piece_by_piece(path: Path) -> None:
    work = path.with_name("work.unfinished")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    for name in "ab":
        (work / name).write_bytes(NEW)
    work.rename(path)
    (path / "a").unlink()
    write_atomically(path / "a", NEW)


@pytest.mark.parametrize(
    ("write", "finding"),
    [
        (sound, ""),
        (writes_in_place, r"full disk 2999: out/a is neither as before nor as after"),
        (lets_errors_escape, "a traceback"),
        (hides_the_failure, "succeeded, but out/a differs"),
        (leaves_a_temporary_file, r"out/\.a\.12345678\.tmp was left behind"),
        (stays_locked, "the next run ended with 1"),
        (fills_a_folder_piece_by_piece, "and others only some exist"),
    ],
)
def test_a_faulty_command_is_found(
    write: Callable[[Path], None], finding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("work/out", "given"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "given/tiny.json").touch()
    if write is not fills_a_folder_piece_by_piece:
        (tmp_path / "work/out/a").write_bytes(OLD)
    command = click.Command("make", params=[click.Argument(["file"])], callback=lambda file: write(Path(file)))
    monkeypatch.setattr(cases, "main", Group(commands=[command]))
    tries, lost = hunt(Place(tmp_path, read_tree(tmp_path / "work")), Case("make", "make {out}/a"), seed=0)
    assert tries > 5 and bool(lost) == bool(finding) and re.search(finding, "\n".join(lost)), lost


def test_one_call_more_changes_no_other_fault(tmp_path: Path) -> None:
    place, case = Place(tmp_path, {}), Case("make", "make {out}/a")
    calls = [("open to write", tmp_path / f"work/.a.{letter * 8}.tmp") for letter in "xyz"]
    calls += [(name, tmp_path / f"work/{file}") for name in ("write", "rename", "fsync") for file in "abc"]

    def chosen(seen: list[tuple[str, Path]]) -> list[tuple[str, Path]]:
        quiet = Undisturbed(place.work, {}, {}, Trap(tmp_path, seen=seen))
        return [seen[fault.trap.at - 1] for fault in faults(place, case, quiet, seed=0)]

    more = ("mkdir", tmp_path / "work/new")
    assert sorted(chosen(calls)) == sorted(calls) and chosen(calls) != calls
    for place_of_it in range(len(calls) + 1):
        found = chosen([*calls[:place_of_it], more, *calls[place_of_it:]])
        assert [call for call in found if call != more] == chosen(calls)


def test_a_tree_is_written_as_it_was_read(tmp_path: Path) -> None:
    tree = {"a": None, "a/b": b"1", "c": b"2", "d": None}
    write_tree(tree, tmp_path)
    assert read_tree(tmp_path) == tree
    other = {"a": b"now a file", "c": None, "c/e": b"3"}
    write_tree(other, tmp_path)
    assert read_tree(tmp_path) == other
    assert differences(other, tree) == [
        "a/b is missing", "d is missing", "c/e was left behind", "a differs", "c differs",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "first", "second", "equal"),
    [
        ("metrics.json", b'"2026-01-02T03:04:05+00:00"', b'"2027-01-02T03:04:06+00:00"', True),
        ("metrics.json", b'"' + b"a" * 40 + b'"', b'"' + b"b" * 40 + b'"', True),
        ("metrics.json", b'"' + b"a" * 64 + b'"', b'"' + b"b" * 64 + b'"', False),
        ("log.jsonl", b'{"epoch": 1, "a": 2}\n{"epoch": 1, "a": 3}\n', b'{"epoch": 1, "a": 3}\n', True),
        ("log.jsonl", b'{"epoch": 1}\n{"ep', b'{"epoch": 1}\n', False),
        ("images.csv", b"2026-01-02T03:04:05+00:00", b"2027-01-02T03:04:06+00:00", False),
    ],
)
def test_only_times_commits_and_repeated_epochs_are_ignored(
    name: str, first: bytes, second: bytes, equal: bool
) -> None:
    assert (settled(name, first) == settled(name, second)) == equal
