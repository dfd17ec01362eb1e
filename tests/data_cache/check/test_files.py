"""Image files: missing, empty, broken, and identical in training and test."""

import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NoReturn

import pytest

import data_cache.check.files
import data_cache.images.processes
from data_cache.base.errors import UserError
from data_cache.check.files import FileCheck, check_file, check_files
from helpers.parts import MakePictures
from helpers.toy.lists import make_unique

NAMES = ["train/a.jpg", "train/b.jpg", "test/c.jpg", "test/d.jpg", "more/e.jpg"]
VALID = FileCheck((), (), (), folders_without_image=0, folders=3, duplicates=())


@pytest.fixture
def root(tmp_path: Path, make_pictures: MakePictures) -> Path:
    make_pictures(tmp_path / "set", NAMES)
    make_unique(tmp_path / "set", NAMES)
    return tmp_path / "set"


def check(root: Path, *, strict: bool = False, workers: int = 0) -> FileCheck:
    return check_files(root, NAMES, set(NAMES[:2]), strict=strict, workers=workers)


@pytest.mark.parametrize("strict", [False, True])
def test_valid_files_have_no_problems(root: Path, strict: bool) -> None:
    assert check(root, strict=strict) == VALID


@pytest.mark.parametrize("strict", [False, True])
def test_missing_and_empty_files_are_found(root: Path, strict: bool) -> None:
    (root / NAMES[0]).write_bytes(b"")
    (root / NAMES[3]).unlink()
    (root / NAMES[4]).unlink()
    found = check(root, strict=strict)
    assert found == FileCheck((NAMES[4], NAMES[3]), (NAMES[0],), (), folders_without_image=1, folders=3, duplicates=())
    shutil.rmtree(root / "test")
    (root / "test").write_text("")  # a file in place of a folder
    assert check(root, strict=strict).missing == (NAMES[4], NAMES[2], NAMES[3])


def test_other_file_types_and_links_out_are_unreadable(root: Path, make_pictures: MakePictures) -> None:
    make_pictures(root.parent, ["outside.jpg"])
    for name in NAMES:
        (root / name).unlink()
    os.mkfifo(root / NAMES[0])  # opening it would block
    (root / NAMES[1]).mkdir()
    (root / NAMES[2]).symlink_to(root.parent / "outside.jpg")
    (root / NAMES[3]).symlink_to(root / NAMES[3])
    (root / NAMES[4]).symlink_to(root / "nothing.jpg")
    for strict in (False, True):
        found = check(root, strict=strict)
        assert found.missing == (NAMES[4],)
        reasons = ["leads out of", "", "not a regular file", "not a regular file"]  # the second: a symlink loop
        assert len(found.unreadable) == 4
        for line, name, reason in zip(found.unreadable, (NAMES[2], NAMES[3], *NAMES[:2]), reasons, strict=True):
            assert name in line and reason in line


def test_only_strict_decodes(root: Path) -> None:
    (root / NAMES[1]).write_bytes((root / NAMES[1]).read_bytes()[:200])
    (root / NAMES[3]).write_text("<html>404</html>")
    assert check(root) == VALID
    broken, html = sorted(check(root, strict=True).unreadable, reverse=True)
    assert "train/b.jpg: damaged image" in broken
    assert "test/d.jpg: not a JPEG, PNG, WebP or BMP image" in html


def test_identical_files_in_training_and_test_are_found(root: Path) -> None:
    shutil.copy(root / NAMES[0], root / NAMES[1])  # twice in training
    shutil.copy(root / NAMES[2], root / NAMES[4])  # twice in the test, like VeRi's queries
    assert check(root, strict=True).duplicates == ()
    shutil.copy(root / NAMES[0], root / NAMES[3])
    assert check(root, strict=True).duplicates == ((NAMES[0], NAMES[3]),)
    assert check(root).duplicates == ()


def test_worker_processes_give_the_same_result(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_cache.check.files, "CHUNK", 2)
    (root / NAMES[0]).unlink()
    (root / NAMES[2]).write_text("<html>")
    shutil.copy(root / NAMES[1], root / NAMES[4])
    serial = check(root, strict=True)
    assert serial.missing and serial.unreadable and serial.duplicates
    assert check(root, strict=True, workers=2) == serial


class BrokenPool(ProcessPoolExecutor):
    """A pool one of whose processes was killed."""

    def map(self, *given: object, **options: object) -> NoReturn:
        raise BrokenProcessPool("terminated abruptly")


def test_killed_process_is_a_user_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_cache.images.processes, "ProcessPoolExecutor", BrokenPool)
    with pytest.raises(UserError, match=r"a process that decodes images was killed; .* fewer --workers"):
        check(root, strict=True, workers=1)


def test_invalid_names_are_unreadable(root: Path) -> None:
    for name in ("n" * 300 + ".jpg", "../a.jpg"):
        assert check_file(root, name, strict=False).kind == "unreadable"
