"""CSV files of a user's own pictures: text is not converted, and errors name the line."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from data_cache.base.errors import UserError, printable
from data_cache.check.files import check_files
from data_cache.datasets import csv_file
from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.csv_file import parse_csv, read_csv
from data_cache.images import lookup


def test_text_is_not_converted(tmp_path: Path) -> None:
    """Vehicles 007 and 7 differ, a vehicle may be called NA; BOM and CRLF of spreadsheets are accepted."""
    text = 'name,vehicle_id,camera_id,split,colour\r\na.jpg,007,1,train,NA\r\n"b,1.jpg",NA,2.0,train,\r\n'
    (tmp_path / "t.csv").write_bytes(text.encode("utf-8-sig"))
    table = read_csv(tmp_path / "t.csv")
    assert table["name"].tolist() == ["a.jpg", "b,1.jpg"]
    assert table["vehicle_id"].tolist() == ["007", "NA"]
    assert table["camera_id"].tolist() == [1, 2]
    assert table["colour"].tolist() == ["NA", ""]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", ", ", " ; "])
def test_dialects_of_spreadsheets_change_nothing(tmp_path: Path, separator: str) -> None:
    plain = "name,vehicle_id,camera_id,split,colour\na.jpg,7,1,train,red\nb c.jpg,2,,query,\nd.jpg,2,12,gallery,blue\n"
    (tmp_path / "plain.csv").write_text(plain)
    other = plain.replace("name", "Name").replace("camera_id", "CAMERA_ID").replace("train", "Train")
    other = other.replace(",1,", ",c001,").replace(",12,", ",Camera 12,").replace(",", separator)
    (tmp_path / "other.csv").write_text(other)
    pd.testing.assert_frame_equal(read_csv(tmp_path / "plain.csv"), read_csv(tmp_path / "other.csv"))


def test_blanks_that_belong_to_a_file_name_are_kept(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("name,vehicle_id,camera_id,split\n a .jpg , 1, 2 ,train \n")
    table = read_csv(tmp_path / "t.csv")
    assert table.loc[0].tolist() == [" a .jpg ", "1", 2, "train"]


@pytest.mark.filterwarnings("ignore:Length of header")
def test_trailing_commas_do_not_shift_the_columns(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("name,vehicle_id,camera_id,split\na.jpg,1,2,train,\nb.jpg,1,3,train,\n")
    assert read_csv(tmp_path / "t.csv")["name"].tolist() == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("camera", ["1.5", "nan", "inf", "-inf", "1e300"])
def test_camera_that_is_not_an_integer_is_named(tmp_path: Path, camera: str) -> None:
    (tmp_path / "t.csv").write_text(f"name,vehicle_id,camera_id,split\na.jpg,1,2,train\nb.jpg,1,{camera},train\n")
    with pytest.raises(UserError, match=r"t\.csv, line 3: camera_id must be an integer"):
        read_csv(tmp_path / "t.csv")


def test_cameras_of_any_name_are_numbered_in_their_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["a.jpg,1,north,train", "b.jpg,1,7,train", "c.jpg,1,,query", "d.jpg,1,north,gallery", "e.jpg,1,Ö 2,train"]
    (tmp_path / "t.csv").write_text("\n".join(["name,vehicle_id,camera_id,split", *lines]) + "\n")
    table = read_csv(tmp_path / "t.csv")
    assert table["camera_id"].tolist() == [2, 1, -1, 2, 3]
    assert table["camera"].tolist() == ["north", "7", "", "north", "Ö 2"]


@pytest.mark.parametrize("unknown", ["-1", "-1.0", " -1 "])
def test_minus_one_is_no_camera_also_beside_names(tmp_path: Path, unknown: str) -> None:
    lines = ["a.jpg,1,north,train", f"b.jpg,1,{unknown},train", "c.jpg,1,,train", "d.jpg,1,7,train"]
    (tmp_path / "t.csv").write_text("\n".join(["name,vehicle_id,camera_id,split", *lines]) + "\n")
    table = read_csv(tmp_path / "t.csv")
    assert table["camera_id"].tolist() == [2, -1, -1, 1]
    assert table["camera"].tolist() == ["north", "", "", "7"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_value_with_line_breaks_shifts_no_line_of_a_message(tmp_path: Path, end: str) -> None:
    notes = ['"a red ""van"""', f'"with{end}{end}ladder"', "plain", "wrong"]
    rows = [
        f"{number}.jpg,7,{number},{'other' if note == 'wrong' else 'train'},{note}" for number, note in enumerate(notes)
    ]
    text = end.join(["", "name,vehicle_id,camera_id,split,note", *rows, ""])
    (tmp_path / "t.csv").write_bytes(text.encode())
    line = text.split(end).index(rows[3]) + 1
    with pytest.raises(UserError, match=rf"t\.csv, line {line}: unknown split 'other'"):
        read_csv(tmp_path / "t.csv")
    objects = tmp_path / "o.csv"
    objects.write_text('image,x,y,w,h,note\na,1,1,9,9,"two\nlines"\nb,1,1,9,9,\n')
    assert parse_csv(objects).index.tolist() == [2, 4]


def test_a_table_without_quotes_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csv.reader", lambda *_, **__: pytest.fail("the lines were counted"))
    (tmp_path / "t.csv").write_text("name,vehicle_id,camera_id,split\na.jpg,1,1,train\n")
    assert len(read_csv(tmp_path / "t.csv")) == 1


def test_a_value_longer_than_the_csv_module_reads_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f'name,vehicle_id,camera_id,split,note\na.jpg,1,1,train,"{"n" * 200_000}"\n')
    assert len(read_csv(tmp_path / "t.csv")) == 1


def test_decimals_of_a_spreadsheet_are_no_other_vehicle(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("name,vehicle_id,camera_id,split\na.jpg,15.0,1_2,train\nb.jpg,15,3,train\nc.jpg,v1.0,3,train\n")
    table = read_csv(path)
    assert table["vehicle_id"].tolist() == ["15", "15", "v1.0"]
    assert table["camera"].tolist() == ["1_2", "3", "3"]  # a name, which Python alone reads as 12


def test_an_unknown_split_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("name,vehicle_id,camera_id,split\na.jpg,1,1,Train\nb.jpg,2,1,validation\n")
    with pytest.raises(UserError, match=r"t\.csv, line 3: unknown split 'validation'; use train, query, gallery, test"):
        read_csv(path)


def test_two_headers_that_are_the_same_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("Name,name,vehicle_id,camera_id,split\na.jpg,b.jpg,1,1,train\n")
    with pytest.raises(UserError, match=r"two columns have one name \(Name, name"):
        read_csv(path)


def test_an_image_of_a_test_without_a_vehicle_is_like_no_other(tmp_path: Path) -> None:
    lines = ["a.jpg,1,1,train", "b.jpg,,1,query", "c.jpg,,2,gallery", "d.jpg,,,test"]
    (tmp_path / "t.csv").write_text("\n".join(["name,vehicle_id,camera_id,split", *lines]) + "\n")
    assert read_csv(tmp_path / "t.csv")["vehicle_id"].tolist() == ["1", "unknown-3", "unknown-4", "unknown-5"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_without_text_are_none_and_still_count(tmp_path: Path, end: str) -> None:
    lines = ["", "name;vehicle_id;camera_id;split", "", "a.jpg;1;1;train", ";;;", "  ", "b.jpg;;1;query", ""]
    path = tmp_path / "t.csv"
    path.write_bytes(end.join(lines).encode())
    table = read_csv(path)
    assert table["name"].tolist() == ["a.jpg", "b.jpg"] and table.index.tolist() == [0, 1]
    assert table["vehicle_id"].tolist() == ["1", "unknown-7"]
    for wrong, words in (
        (";1;1;train", "name or vehicle_id is empty"),
        ("c.jpg;1;1;other", "unknown split"),
        ("c.jpg;1;1.5;train", "camera_id must be"),
        ("../c.jpg;1;1;train", "is not a relative path"),
        ("s3://b/c.jpg;1;1;train", "a name is a path, no address"),
    ):
        path.write_bytes(end.join([*lines, wrong]).encode())
        with pytest.raises(UserError, match=rf"t\.csv, line 9: .*{words}"):
            read_csv(path)


@pytest.mark.parametrize("line", [",1,2,train", "b.jpg,,2,train", "b.jpg"])
def test_empty_name_or_vehicle_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "t.csv").write_text(f"name,vehicle_id,camera_id,split\na.jpg,1,2,train\n{line}\n")
    with pytest.raises(UserError, match=r"t\.csv, line 3: name or vehicle_id is empty"):
        read_csv(tmp_path / "t.csv")


@pytest.mark.parametrize("name", ["/etc/passwd", "a\0b.jpg", '"a\nb.jpg"'])
def test_unsafe_name_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "t.csv").write_text(f"name,vehicle_id,camera_id,split\na.jpg,1,2,train\n{name},1,2,train\n")
    with pytest.raises(UserError, match=r"t\.csv, line 3: '.*' is not a relative path below") as caught:
        read_csv(tmp_path / "t.csv")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"name,vehicle_id,split\na,1,train\n", "column camera_id is missing"),
        (b"a.jpg,1,2,train\n", "column name is missing"),
        (b"name,vehicle_id,camera_id,split\n", "lists no image"),
        (b"", "cannot be read as CSV"),
        (b"name,vehicle_id,camera_id,split\n\xff\xfe,1,2,train\n", "cannot be read as CSV"),
        (b"name,vehicle_id,camera_id,split\na,1,2,train\nb,1,2,train,more,more\n", "cannot be read as CSV"),
        (b'name,vehicle_id,camera_id,split\n"a,1,2,train\n', "cannot be read as CSV"),
    ],
)
def test_invalid_csv_is_a_one_line_error(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(UserError, match=rf"t\.csv: {reason}") as caught:
        read_csv(tmp_path / "t.csv")
    assert len(str(caught.value).splitlines()) == 1


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"t\.csv: no such file; a CSV with the columns name, vehicle_id"):
        read_csv(tmp_path / "t.csv")
    with pytest.raises(UserError, match="cannot be read"):
        read_csv(tmp_path)


def test_backslashes_are_read_as_slashes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cars.csv"
    path.write_text("name,vehicle_id,camera_id,split\nin\\a.jpg,1,1,query\nin/b.jpg,1,2,gallery\n", encoding="utf-8")
    assert read_csv(path)["name"].tolist() == ["in/a.jpg", "in/b.jpg"]
    assert "cars.csv: backslashes in 1 names are read as slashes" in capsys.readouterr().err
    path.write_text("name,vehicle_id,camera_id,split\n..\\a.jpg,1,1,query\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"line 2: '\.\./a\.jpg' is not a relative path"):
        read_csv(path)


FILES = ("train/b.JPG", "train/c d.png", "train/\u00fc.jpg", "test/e.jpg")
GIVEN = {  # as tools write them: the file that is meant
    "train\\b.JPG": "train/b.JPG",
    "C:\\data\\train\\b.jpg": "train/b.JPG",
    "train/b.jpg": "train/b.JPG",
    "images/train/b.JPG": "train/b.JPG",
    "b.jpg": "train/b.JPG",
    "./train//b.JPG": "train/b.JPG",
    "train/c%20d.png": "train/c d.png",
    "train/u\u0308.jpg": "train/\u00fc.jpg",
    "TEST/E.JPG": "test/e.jpg",
}


def csv_of(root: Path, names: Sequence[str]) -> Path:
    """Write the files, and a CSV with these names; return the CSV."""
    for file in FILES:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"")
    path = root.parent / "t.csv"
    rows = "\n".join(f'"{name}",1,1,train' for name in names)
    path.write_text(f"name,vehicle_id,camera_id,split\n{rows}\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("given", [*GIVEN, "ABSOLUTE"])
def test_a_name_means_the_file_that_a_tool_means(
    tmp_path: Path, given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "photos"
    file = GIVEN.get(given, "train/b.JPG")
    given = str(root / "train/b.JPG") if given == "ABSOLUTE" else given
    path = csv_of(root, [given, *(other for other in FILES if other != file)])
    assert read_csv(path, root)["name"].tolist() == [file, *(other for other in FILES if other != file)]
    told = capsys.readouterr().err
    if given.startswith("./"):  # the same path, written otherwise
        assert told == ""
    else:
        assert told == f"{path}: 1 images are named otherwise, first {printable(given)}: read as {file}\n"


def test_exact_names_list_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "files_below", lambda *_: pytest.fail("a folder was listed"))
    root = tmp_path / "photos"
    assert read_csv(csv_of(root, FILES), root)["name"].tolist() == [*FILES]


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set whose folder `t` cannot be entered, as by its permissions, which do not bind root."""
    lines = ["t/a.jpg,1,1,train", "t/b.jpg,1,2,train", "q/c.jpg,2,1,query", "q/d.jpg,2,2,gallery"]
    (tmp_path / "images.csv").write_text("\n".join(["name,vehicle_id,camera_id,split", *lines]) + "\n")
    for name in ("q/c.jpg", "q/d.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    original = Path.stat

    def stat(path: Path, **options: Any) -> Any:
        if path.parent == tmp_path / "t":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return original(tmp_path / "q" if path == tmp_path / "t" else path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    return tmp_path


def test_images_in_a_folder_without_permission_are_reported_by_check(
    locked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = load_dataset("folder", locked)
    assert dataset.names() == ["q/c.jpg", "q/d.jpg", "t/a.jpg", "t/b.jpg"] and not dataset.no_training
    assert "2 images are not clear, first: 't/a.jpg' cannot be looked up (Permission denied)" in capsys.readouterr().err
    found = check_files(locked, dataset.names(), set(), strict=False, workers=0)
    assert found.unreadable == tuple(f"{locked / name}: Permission denied" for name in ("t/a.jpg", "t/b.jpg"))
    assert not found.missing


def test_a_data_set_without_permission_is_a_one_line_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    csv = csv_of(tmp_path / "photos", ["a.jpg"])

    def stat(path: Path, **_: Any) -> Any:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "stat", stat)
    for read in (lambda: read_csv(csv, tmp_path), lambda: csv_file.is_rendered(tmp_path)):
        with pytest.raises(UserError, match=r"cannot be used \(Permission denied\)$"):
            read()


@pytest.mark.parametrize("most", [1, 2, 3, 20_000])
def test_a_long_table_is_probed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Names are looked up if any of the probed ones is no file, and faulty names always."""
    monkeypatch.setattr(csv_file, "MOST_PROBED", most)
    root = tmp_path / "photos"
    others = [name.lower() for name in FILES]
    assert read_csv(csv_of(root, others), root)["name"].tolist() == [*FILES]
    assert read_csv(csv_of(root, [*FILES[1:], "train\\b.jpg"]), root)["name"].tolist() == [*FILES[1:], FILES[0]]


def test_names_without_a_file_or_with_several_remain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "photos"
    path = csv_of(root, ["absent.jpg", "e.jpg", "in\\absent.jpg"])
    (root / "other").mkdir()
    (root / "other/e.jpg").write_bytes(b"")
    assert read_csv(path, root)["name"].tolist() == ["absent.jpg", "e.jpg", "in/absent.jpg"]
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith(f"{path}: the files of 1 images are not clear, first: 'e.jpg' could be 2 files, such as ")
    assert told[1] == f"{path}: backslashes in 1 names are read as slashes"


@pytest.mark.parametrize("name", ["../secret.jpg", "..\\secret.jpg", "%2e%2e/secret.jpg", "/etc/passwd", "linked.jpg"])
def test_nothing_outside_the_root_is_named(tmp_path: Path, name: str) -> None:
    root = tmp_path / "photos"
    path = csv_of(root, [*FILES, name])
    (tmp_path / "secret.jpg").write_bytes(b"")
    (root / "sub").mkdir()
    (root / "sub/linked.jpg").symlink_to(tmp_path / "secret.jpg")
    if name in ("linked.jpg", "%2e%2e/secret.jpg"):  # plain names of files that are not there
        assert read_csv(path, root)["name"].tolist() == [*FILES, name]
    else:
        with pytest.raises(UserError, match=r"t\.csv, line 6: .* is not a relative path below"):
            read_csv(path, root)


def test_two_names_of_one_file_are_listed_twice(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "photos", [*FILES, "train\\b.jpg"])
    with pytest.raises(UserError, match=r"1 images are listed twice, first train/b\.JPG"):
        load_dataset(str(path), tmp_path / "photos")
