"""List files: text formats, unsafe names and repeated entries."""

import os
from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from data_cache.datasets.lists import camera_number, list_text, read_entries, read_image_list, require_plain_name
from helpers.toy.lists import write_lists


def test_empty_list_has_no_entries(tmp_path: Path) -> None:
    for data in (b"", b"\n", b" \r\n\t\n", "\ufeff".encode()):
        (tmp_path / "list.txt").write_bytes(data)
        assert read_entries(tmp_path / "list.txt") == []


def test_only_line_feeds_and_carriage_returns_end_a_line(tmp_path: Path) -> None:
    """Python's splitlines would also split at these characters, and hide a control character in a name."""
    (tmp_path / "list.txt").write_bytes("a\x0cb.jpg 1\rc\x1d.jpg 2\r\nd\u2028e.jpg 3".encode())
    fields = [entry.fields for entry in read_entries(tmp_path / "list.txt")]
    assert fields == [["a\x0cb.jpg", "1"], ["c\x1d.jpg", "2"], ["d\u2028e.jpg", "3"]]


def test_unreadable_list_is_named(tmp_path: Path) -> None:
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\xfd")
    os.mkfifo(tmp_path / "pipe.txt")  # opening it would block
    for name, reason in {"bytes": "not UTF-8", "absent": "No such file", "pipe": "not a regular file"}.items():
        with pytest.raises(UserError, match=rf"{name}\.txt: list file cannot be read \({reason}"):
            read_entries(tmp_path / f"{name}.txt")
    with pytest.raises(UserError, match="list file cannot be read"):
        read_entries(tmp_path)


def test_first_encoding_that_fits_is_used(tmp_path: Path) -> None:
    encodings = ("utf-8-sig", "gb18030", "latin-1")
    for data, text in ((b"\xef\xbb\xbf\xe5\xa4\xa7\r\nb", "大\nb"), (b"\xb4\xf3", "大"), (b"\xff\xff", "ÿÿ")):
        (tmp_path / "list.txt").write_bytes(data)
        assert list_text(tmp_path / "list.txt", encodings) == text


def test_short_entry_is_reported(tmp_path: Path) -> None:
    write_lists(tmp_path, {"list.txt": ["a\t 1", "", "b"]})
    assert read_entries(tmp_path / "list.txt") == [(1, ["a", "1"]), (2, ["b"])]
    with pytest.raises(UserError, match=r"list\.txt, entry 2: 2 fields are needed, 1 found"):
        read_entries(tmp_path / "list.txt", 2)


UNSAFE = (
    "/etc/passwd", "//a.jpg", "..", "../a.jpg", "a/../b.jpg", "a/..", "a\\b.jpg", "..\\a.jpg", "C:\\a.jpg", "C:/a.jpg",
    "a\0.jpg", "\x1b[2Ja.jpg", "a\x7f.jpg", "a\x85b.jpg", "a\u2028b.jpg", "a\ud800.jpg", "", "n" * 256,
    f"a/{'ü' * 128}",
)  # fmt: skip


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_name_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(UserError, match=r"list\.txt, entry 7: '.* is not a relative path below") as caught:
        require_plain_name(name, "list.txt, entry 7")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "name", ["a.jpg", "a/b/c.jpg", "..a.jpg", "a../b..jpg", "ü (1)\u00a0.jpg", "大.png", "~a", "a:b.jpg", "n" * 255]
)
def test_other_names_are_accepted(name: str) -> None:
    require_plain_name(name, "list.txt")


def test_unsafe_name_in_a_list_is_reported_with_its_entry(tmp_path: Path) -> None:
    write_lists(tmp_path, {"list.txt": ["a.jpg", "", "../b.jpg 1"]})
    with pytest.raises(UserError, match=r"list\.txt, entry 2: '\.\./b\.jpg' is not a relative path below"):
        read_image_list(tmp_path / "list.txt")


def test_first_entry_of_a_repeated_image_is_kept(tmp_path: Path) -> None:
    write_lists(tmp_path, {"list.txt": ["a 1", "b.jpg 2", "a.jpg 3", "c 4", "b.jpg 2"]})
    found = read_image_list(tmp_path / "list.txt", 2)
    assert [tuple(entry) for entry in found.entries] == [(1, ["a", "1"]), (2, ["b.jpg", "2"]), (4, ["c", "4"])]
    assert found.repeated == ("list.txt, entry 3: a.jpg", "list.txt, entry 5: b.jpg")


def test_camera_numbers_are_integers() -> None:
    assert [camera_number(text, "here") for text in ("0", "007", "174")] == [0, 7, 174]
    for text in ("", "-1", "1.5", "two", "²", "\u0661", "9" * 10, "9" * 5000):
        with pytest.raises(UserError, match=r"list\.txt, entry 2: '.* is not a camera number") as caught:
            camera_number(text, "list.txt, entry 2")
        assert len(str(caught.value)) < 140


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("cars\\a.jpg", "a.jpg"),
        ("cars/a.jpg", "a.jpg"),
        ("1\\a.jpg", "1/a.jpg"),
        ("cars/cars/a.jpg", "cars/a.jpg"),
        ("cars", "cars"),
    ],
)
def test_backslashes_and_the_folder_of_the_images_are_accepted(
    tmp_path: Path, given: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"{given} 7\nb.jpg 8\n")
    images = read_image_list(path, 2, folder="cars")
    assert [entry.fields for entry in images.entries] == [[name, "7"], ["b.jpg", "8"]]
    told = capsys.readouterr().err
    note = f"{path}: 1 images are named otherwise, first {given}: read as {name}\n"
    assert told == ("" if given == name else note)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "\\etc\\passwd", "cars/../../a.jpg", "..\\a.jpg", "C:\\a.jpg", "cars//a.jpg"]
)
@pytest.mark.parametrize("folder", ["", "cars"])
def test_nothing_outside_the_folder_is_listed(tmp_path: Path, name: str, folder: str) -> None:
    (tmp_path / "list.txt").write_text(name)
    with pytest.raises(UserError, match=r"list\.txt, entry 1: "):
        read_image_list(tmp_path / "list.txt", folder=folder)


def test_an_optional_list_may_be_missing(tmp_path: Path) -> None:
    assert read_image_list(tmp_path / "absent.txt", optional=True).entries == ()
    with pytest.raises(UserError, match=r"absent\.txt: list file cannot be read"):
        read_image_list(tmp_path / "absent.txt")
