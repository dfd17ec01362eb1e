"""The files of a data set: what is missing, empty or broken, and bytes that stand in training and test."""

import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NoReturn

import pytest

import data_cache.check.files
from data_cache.base.errors import UserError
from data_cache.check.files import AT_ONCE, FileCheck, check_files, look_at
from helpers.parts import MakePictures
from helpers.toy.lists import tell_apart

NAMES = ["train/a.jpg", "train/b.jpg", "test/c.jpg", "test/d.jpg", "more/e.jpg"]
SOUND = FileCheck((), (), (), bare=0, folders=3, same=())


@pytest.fixture
def root(tmp_path: Path, make_pictures: MakePictures) -> Path:
    make_pictures(tmp_path / "set", NAMES)
    tell_apart(tmp_path / "set", NAMES)
    return tmp_path / "set"


def look(root: Path, *, strict: bool = False, workers: int = 0) -> FileCheck:
    return check_files(root, NAMES, set(NAMES[:2]), strict=strict, workers=workers)


@pytest.mark.parametrize("strict", [False, True])
def test_sound_files_are_sound(root: Path, strict: bool) -> None:
    assert look(root, strict=strict) == SOUND


@pytest.mark.parametrize("strict", [False, True])
def test_missing_and_empty_files_are_found(root: Path, strict: bool) -> None:
    (root / NAMES[0]).write_bytes(b"")
    (root / NAMES[3]).unlink()
    (root / NAMES[4]).unlink()
    found = look(root, strict=strict)
    assert found == FileCheck((NAMES[4], NAMES[3]), (NAMES[0],), (), bare=1, folders=3, same=())


def test_what_is_no_file_or_leads_out_is_unreadable(root: Path, make_pictures: MakePictures) -> None:
    make_pictures(root.parent, ["outside.jpg"])
    for name in NAMES:
        (root / name).unlink()
    os.mkfifo(root / NAMES[0])  # to open it would wait for ever
    (root / NAMES[1]).mkdir()
    (root / NAMES[2]).symlink_to(root.parent / "outside.jpg")
    (root / NAMES[3]).symlink_to(root / NAMES[3])
    (root / NAMES[4]).symlink_to(root / "nothing.jpg")
    for strict in (False, True):
        found = look(root, strict=strict)
        assert found.missing == (NAMES[4],)
        reasons = ["leads out of", "", "not a regular file", "not a regular file"]  # the second: a loop of links
        assert len(found.unreadable) == 4
        for line, name, reason in zip(found.unreadable, (NAMES[2], NAMES[3], *NAMES[:2]), reasons, strict=True):
            assert name in line and reason in line


def test_a_file_in_the_place_of_a_folder_makes_its_images_missing(root: Path) -> None:
    shutil.rmtree(root / "test")
    (root / "test").write_text("")
    assert look(root).missing == (NAMES[2], NAMES[3])


def test_only_strictness_decodes(root: Path) -> None:
    (root / NAMES[1]).write_bytes((root / NAMES[1]).read_bytes()[:200])
    (root / NAMES[3]).write_text("<html>404</html>")
    assert look(root) == SOUND
    broken, html = sorted(look(root, strict=True).unreadable, reverse=True)
    assert "train/b.jpg: damaged image" in broken
    assert "test/d.jpg: not a JPEG or PNG image" in html


def test_bytes_in_training_and_test_are_found_and_no_others(root: Path) -> None:
    shutil.copy(root / NAMES[0], root / NAMES[1])  # twice in training
    shutil.copy(root / NAMES[2], root / NAMES[4])  # twice in the test, as VeRi's queries
    assert look(root, strict=True).same == ()
    shutil.copy(root / NAMES[0], root / NAMES[3])
    assert look(root, strict=True).same == ((NAMES[0], NAMES[3]),)
    assert look(root).same == ()


def test_processes_find_the_same(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_cache.check.files, "AT_ONCE", 2)
    (root / NAMES[0]).unlink()
    (root / NAMES[2]).write_text("<html>")
    shutil.copy(root / NAMES[1], root / NAMES[4])
    alone = look(root, strict=True)
    assert alone.missing and alone.unreadable and alone.same
    assert look(root, strict=True, workers=2) == alone


class BrokenPool(ProcessPoolExecutor):
    """Processes one of which has been killed."""

    def map(self, *given: object, **options: object) -> NoReturn:
        raise BrokenProcessPool("terminated abruptly")


def test_a_process_that_is_killed_is_one_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_cache.check.files, "ProcessPoolExecutor", BrokenPool)
    with pytest.raises(UserError, match=r"a process that decodes images has ended; .* fewer --workers"):
        look(root, strict=True, workers=1)


def test_many_names_are_looked_at_in_their_order_once(root: Path) -> None:
    names = [f"x/{number}.jpg" for number in range(2 * AT_ONCE + 1)]
    found = check_files(root, names, set(), strict=False, workers=0)
    assert found.missing == tuple(sorted(names))


def test_a_name_that_no_file_can_have_is_unreadable(root: Path) -> None:
    for name in ("n" * 300 + ".jpg", "../a.jpg"):
        assert look_at(root, name, strict=False).kind == "unreadable"
