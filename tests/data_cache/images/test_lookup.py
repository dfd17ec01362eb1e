"""Images are found under the names that other tools give them, and nothing outside the folder is."""

import os
import re
from itertools import product
from pathlib import Path

import pytest

from data_cache.images import lookup as lookup_module
from data_cache.images.loading import ImageError
from data_cache.images.lookup import ImageLookup

FILES = (
    "a.jpg",
    "train/b.JPG",
    "train/c d.png",
    "train/\u00fc.jpg",
    "test/b.jpg",
    "test/one/e.jpg",
    "50%25.jpg",
    "Ä.png",
)


@pytest.fixture
def lookup(tmp_path: Path) -> ImageLookup:
    root = tmp_path / "cars"
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return ImageLookup(root)


@pytest.mark.parametrize("name", [*FILES, "./train//b.JPG"])
def test_the_name_of_a_file_means_that_file(lookup: ImageLookup, name: str) -> None:
    assert lookup.find(name) == os.path.normpath(name)
    assert not lookup.notes()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("train\\b.JPG", "train/b.JPG"),
        ("C:\\data\\cars\\train\\b.jpg", "train/b.JPG"),
        ("/home/me/cars/test/b.jpg", "test/b.jpg"),
        ("images/a.jpg", "a.jpg"),
        ("A.JPG", "a.jpg"),
        ("e.jpg", "test/one/e.jpg"),
        ("one/e.jpg", "test/one/e.jpg"),
        ("train/c%20d.png", "train/c d.png"),
        ("train/u\u0308.jpg", "train/\u00fc.jpg"),
        ("train/c d", "train/c d.png"),
        ("a", "a.jpg"),
        ("50%2525.jpg", "50%25.jpg"),
        ("a\u0308.PNG", "Ä.png"),
    ],
)
def test_another_name_means_the_only_file_that_fits(lookup: ImageLookup, name: str, file: str) -> None:
    assert lookup.find(name) == file
    (note,) = lookup.notes()
    assert note.startswith("1 images are named otherwise, first ") and note.endswith(f": read as {file}")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("b.jpg", "could be 2 files, such as test/b.jpg and train/b.JPG, below"),
        ("other/b.jpg", "is missing below"),
        ("z.jpg", "is missing below"),
        ("two/e.jpg", "is missing below"),
        ("", "is missing below"),
        ("/", "is missing below"),
        ("../a.jpg", "not a relative path below"),
        ("..\\a.jpg", "not a relative path below"),
        ("train/../../a.jpg", "not a relative path below"),
        ("%2e%2e/a.jpg", "not a relative path below"),
    ],
)
def test_other_names_are_refused(lookup: ImageLookup, name: str, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        lookup.find(name)
    assert not lookup.notes()


def fitting_files(files: list[str], name: str) -> list[str]:
    """Compare every file with a name in lower case: the definition, for names of which none is a file."""
    wanted = name.split("/")
    stems = not any(file.split("/")[-1] == wanted[-1] for file in files)
    shared = {}
    for file in files:
        parts = file.split("/")
        parts[-1] = parts[-1].removesuffix(".jpg") if stems else parts[-1]
        length = min(len(parts), len(wanted))
        if parts[-length:] == wanted[-length:]:
            shared[file] = length
    return sorted(file for file, length in shared.items() if length == max(shared.values()))


def test_the_files_that_fit_are_those_of_the_definition(tmp_path: Path) -> None:
    folders = ["", *("/".join(parts) + "/" for depth in (1, 2, 3) for parts in product("ab", repeat=depth))]
    files = [f"{folder}{name}" for number, folder in enumerate(folders) for name in ("1.jpg", "a.jpg") if number % 3]
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(b"")
    lookup = ImageLookup(tmp_path)
    names = [f"{folder}{name}" for folder in folders for name in ("1.jpg", "1", "a", "b", "a.jpg")]
    for name in {*names, *(f"c/{name}" for name in names)} - {*files}:
        wanted = fitting_files(files, name)
        if len(wanted) == 1:
            assert lookup.find(name) == wanted[0]
        else:
            reason = f"could be {len(wanted)} files, such as {' and '.join(wanted[:2])}," if wanted else "is missing"
            with pytest.raises(ImageError, match=re.escape(reason)):
                lookup.find(name)


def test_file_names_that_every_folder_repeats_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{number}/img/1.jpg" for number in range(50)]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"")
    folded: list[str] = []
    original = lookup_module._folded
    monkeypatch.setattr(lookup_module, "_folded", lambda name: folded.append(name) or original(name))
    lookup = ImageLookup(tmp_path)
    assert [lookup.find(f"cars/{name}") for name in names] == names
    assert len(folded) == 2 * len(names)  # each name, and each file


def test_links_that_leave_the_folder_are_refused_under_every_name(lookup: ImageLookup) -> None:
    outside = lookup.root.parent / "outside.jpg"
    outside.write_bytes(b"")
    (lookup.root / "train/link.jpg").symlink_to(outside)
    for name in ("train/link.jpg", "train\\link.jpg", "link.jpg", "LINK.JPG"):
        with pytest.raises(ImageError, match="leads out of"):
            lookup.find(name)


def test_the_folder_is_listed_only_for_a_name_that_is_no_file(
    lookup: ImageLookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "walk", lambda *_, **__: pytest.fail("the folder was listed"))
    for name in FILES:
        lookup.find(name)
