"""Storage that fails under every command that writes: a moment of the long form, and that it finds what is lost."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from random import Random

import click
import pytest

import soak.storage
from cli import Group
from data_cache.base.errors import UserError
from data_cache.base.files import remove_strays, write_atomically
from soak.disk import cases as storage_cases
from soak.disk.cases import CASES, Case, Place, new_place
from soak.inputs.trees import read_tree
from soak.rows import Row
from soak.storage import Lost, faults, hunt, starts, storage, undisturbed

OLD, NEW = b"old" * 1000, b"new" * 1000


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with new_place() as made:
        yield made


@pytest.mark.parametrize("case", [case for case in CASES if case.short], ids=lambda case: case.name)
def test_storage_that_fails_costs_nothing_but_one_line(place: Place, case: Case) -> None:
    tries, lost = hunt(place, case, seed=0, most=case.short)
    assert tries == case.short and not lost, lost


def test_every_command_has_a_case() -> None:
    writing = set("synth detect train features evaluate report rank heatmaps ablate import-weights export".split())
    tried = {case.words.split()[0] for case in CASES}
    assert tried >= writing | {"parts", "cache", "gallery"} and len({case.name for case in CASES}) == len(CASES)


def sound(path: Path) -> None:
    remove_strays(path)
    write_atomically(path, NEW)


def writes_in_place(path: Path) -> None:
    try:
        path.write_bytes(NEW)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error


def lets_it_out(path: Path) -> None:
    write_atomically(path, NEW)
    path.with_name("b").write_bytes(b"")


def says_two_lines(path: Path) -> None:
    try:
        sound(path)
    except UserError as error:
        click.echo(f"Error: {error}", err=True)
        raise


def says_no_reason(path: Path) -> None:
    try:
        sound(path)
    except UserError as error:
        raise UserError(f"{path}: cannot be written") from error


def says_it_is_done(path: Path) -> None:
    try:
        sound(path)
    except UserError:
        click.echo(path)


def leaves_a_file(path: Path) -> None:
    temporary = path.with_name(".a.12345678.tmp")
    try:
        temporary.write_bytes(NEW)
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error


def gives_up_for_good(path: Path) -> None:
    if path.with_name(".lock").exists():
        raise UserError(f"{path}: locked")
    path.with_name(".lock").touch()
    sound(path)
    path.with_name(".lock").unlink()


def takes_away(path: Path) -> None:
    path.unlink(missing_ok=True)
    sound(path)


def makes_a_folder_by_pieces(path: Path) -> None:
    work = path.with_name("work.unfinished")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    for name in "ab":
        (work / name).write_bytes(NEW)
    work.rename(path)
    (path / "a").unlink()
    write_atomically(path / "a", NEW)


@pytest.fixture
def hunted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return the search in a faulty command that writes the file `a`; what it tells is all that was lost."""

    def search(write: Callable[[Path], None], *, old: bool = False) -> str:
        for folder in ("work/out", "given"):
            (tmp_path / folder).mkdir(parents=True)
        (tmp_path / "given/tiny.json").touch()
        if old:
            (tmp_path / "work/out/a").write_bytes(OLD)
        command = click.Command("make", params=[click.Argument(["file"])], callback=lambda file: write(Path(file)))
        monkeypatch.setattr(storage_cases, "main", Group(commands=[command]))
        case = Case("make", "make {out}/a")
        tries, lost = hunt(Place(tmp_path, read_tree(tmp_path / "work")), case, seed=0)
        assert tries > 5
        return "\n".join(line for one in lost for line in (one.fault, *one.wrong))

    return search


@pytest.mark.parametrize("old", [True, False])
def test_a_sound_command_loses_nothing(hunted: Callable[..., str], old: bool) -> None:
    assert hunted(sound, old=old) == ""


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (writes_in_place, r"a call fails write .*\nout/a is neither as before nor as after"),
        (writes_in_place, r"a disk that is full 2999\nout/a is neither as before nor as after"),
        (lets_it_out, "a traceback"),
        (says_two_lines, "2 lines of error"),
        (says_no_reason, "the line does not say"),
        (says_it_is_done, "ended well, but out/a is another"),
        (leaves_a_file, r"out/\.a\.12345678\.tmp is left over"),
        (gives_up_for_good, "the next run ended with 1"),
        (takes_away, "out/a is neither as before nor as after"),
    ],
)
def test_it_finds_what_is_lost(hunted: Callable[..., str], write: Callable[[Path], None], told: str) -> None:
    assert re.search(told, hunted(write, old=True))


def test_it_finds_a_folder_that_is_there_in_part(hunted: Callable[..., str]) -> None:
    assert "and others are there, but not all" in hunted(makes_a_folder_by_pieces)


def test_a_row_tells_of_each_command_in_their_order_and_what_was_lost_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = Lost("export --format pt2", "a call fails", ["a traceback", "b is missing"], "Error:\nno")
    found = {case.name: (3, [lost] if case.name == lost.command else []) for case in CASES}
    monkeypatch.setattr(soak.storage, "new_place", nullcontext)
    monkeypatch.setattr(soak.storage, "hunt", lambda place, case, seed, until: found[case.name])
    rows = storage(1.0, 0)
    assert [row.fault for row in rows] == [f"storage: {case.name}" for case in CASES]
    assert {(row.tries, row.survived, row.lost) for row in rows} == {(3, 3, 0), (3, 2, 1)}
    assert storage(1.0, 0, ["train"]) == [Row("storage: train", 3, 3, 0)]
    told = r"export --format pt2: a call fails: a traceback; b is missing; it told: Error:\nno"
    assert capsys.readouterr().err == f"{told}\n"


def test_the_same_seed_tries_the_same_faults(place: Place) -> None:
    case = next(case for case in CASES if case.name == "cache export --format csv")
    quiet = undisturbed(place, case, starts(place, case)[-1])
    tried = [
        [str(fault) + str(fault.trap.at) for fault in faults(place, case, quiet, Random(seed))] for seed in (1, 1, 2)
    ]
    assert tried[0] == tried[1] != tried[2]
    assert len(tried[0]) > len(quiet.trap.seen)
