"""The `gallery` commands: what they build, add, remove, find and refuse."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli import main
from helpers.places.api import ToyRun
from helpers.places.reid import assert_error
from helpers.places.stored import write_old
from vehicle_reid import Gallery

Run = Callable[..., Result]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gallery"


@pytest.fixture
def run(toy_run: ToyRun, path: Path) -> Run:
    """Run `gallery COMMAND` on the toy run and `path`."""

    def invoke(command: str, *words: str) -> Result:
        options = ["--dataset", "folder", "--runs", str(toy_run.runs), "--device", "cpu", "--gallery", str(path)]
        if command in ("build", "add"):
            options += ["--data-root", str(toy_run.root), "--workers", "0"]
        result = CliRunner().invoke(main, ["gallery", command, *options, *words])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return invoke


def output_of(result: Result) -> Any:
    """Return the JSON output of a command that succeeded."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def copy_photos(run: ToyRun, folder: Path, names: list[str]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / Path(name).name for name in names]
    for name, path in zip(names, paths, strict=True):
        path.write_bytes(run.path(name).read_bytes())
    return paths


def test_the_gallery_of_a_data_sets_test_is_built_and_searched(toy_run: ToyRun, run: Run, path: Path) -> None:
    result = run("build", "--json")
    names = toy_run.names("gallery")
    assert output_of(result) == {"gallery": str(path), "images": len(names), "index": "exact"}
    assert list(path.parent.iterdir()) == [path] and "finding parts" not in result.stderr
    gallery = Gallery.load(path, toy_run.model())
    assert sorted(gallery.names) == names
    query = toy_run.path(toy_run.tested_names()[0])
    matches = output_of(run("search", str(query), "-k", "3", "--json", "--camera", "1"))
    wanted = gallery.search(query, k=3, cameras=[1])
    for match, row in zip(matches, wanted.to_dict("records"), strict=True):
        assert match == {**row, "boxes": row["boxes"].tolist(), "attention": row["attention"].tolist(),
                         "parts": list(row["parts"]), "confidence": None,
                         "score": pytest.approx(row["score"])}  # fmt: skip
    table = run("search", str(query), "-k", "2", "--without-camera", "1").stdout
    assert "top part" in table and f"{gallery.search(query, k=1, cameras=[0])['score'].item():.3f}" in table


def test_a_gallery_of_a_folder_is_built_added_to_and_removed_from(
    toy_run: ToyRun, run: Run, path: Path, tmp_path: Path
) -> None:
    names, photos = toy_run.toy.dataset.names(), tmp_path / "photos"
    copy_photos(toy_run, photos, names[:30])
    folder = ("--images", str(photos), "--json")
    built = output_of(run("build", *folder, "--index", "approximate", "--camera", "4"))
    assert (built["images"], built["index"]) == (30, "approximate") and 0.95 <= built["recall_at_10"] <= 1
    copy_photos(toy_run, photos, names[30:33])[2].rename(photos / "a b.jpg")
    assert_error(run("add", *folder), 1, "30 images are already in the gallery", "remove them first")
    assert output_of(run("add", *folder, "--only-new", "--camera", "5"))["images"] == 33
    assert output_of(run("add", *folder, "--only-new"))["images"] == 33
    details = tmp_path / "d.csv"
    details.write_text("name,lane\na b.jpg,left\n")
    assert output_of(run("add", *folder, "--only-new", "--details", str(details)))["images"] == 33
    details.unlink()
    first, second = (Path(name).name for name in names[:2])
    listed = tmp_path / "removed.txt"
    listed.write_text(f"a b.jpg\n{second}\n")
    assert "name the images to remove, or give --list" in run("remove").stderr
    assert_error(run("remove", "nobody.jpg"), 1, "1 of 1 names are not in it, first nobody.jpg")
    assert output_of(run("remove", first, "--list", str(listed), "--json"))["images"] == 30
    matches = output_of(run("search", str(toy_run.path(names[31])), "-k", "40", "--camera", "5", "--json"))
    assert len(matches) == 2 and matches[0]["name"] == Path(names[31]).name
    assert {*tmp_path.iterdir()} == {photos, listed, path}


def test_the_commands_work_with_a_gallery_on_a_server(
    toy_run: ToyRun, run: Run, path: Path, tmp_path: Path, milvus: str
) -> None:
    address = f"{milvus}/commands"
    on_server = ("--gallery", address)
    assert_error(run("search", *on_server, str(toy_run.photos()[0])), 1, f"{address}: no such gallery; build it with")
    names = toy_run.names("gallery")
    built = {"gallery": address, "images": len(names), "index": "exact"}
    assert output_of(run("build", *on_server, "--json")) == built
    assert_error(run("build", *on_server), 1, f"{address}: the gallery already exists")
    photos = copy_photos(toy_run, tmp_path / "photos", toy_run.names("query")[:2])
    added = run("add", *on_server, "--images", str(photos[0].parent), "--camera", "7", "--json")
    assert output_of(added)["images"] == len(names) + 2
    (match,) = output_of(run("search", *on_server, str(photos[1]), "-k", "1", "--camera", "7", "--json"))
    assert match["name"] == photos[1].name and match["camera"] == 7
    run("remove", *on_server, photos[1].name)
    checked = CliRunner().invoke(main, ["gallery", "check", address])
    assert checked.output == f"{address}: {len(names) + 1:,} images are as they were written\n"
    assert not path.exists() and [one.name for one in tmp_path.iterdir()] == ["photos"]


def test_an_existing_gallery_is_not_overwritten(run: Run, path: Path) -> None:
    output_of(run("build", "--json"))
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    assert_error(run("build"), 1, str(path), "the gallery already exists", "delete it")
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before


def test_a_list_file_selects_images(toy_run: ToyRun, run: Run, tmp_path: Path) -> None:
    paths = copy_photos(toy_run, tmp_path, toy_run.tested_names()[:3])
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(path.name for path in paths[:2]))
    assert output_of(run("build", "--list", str(listed), "--json"))["images"] == 2


def test_unreadable_images_stop_a_build_or_are_skipped(toy_run: ToyRun, run: Run, path: Path, tmp_path: Path) -> None:
    copy_photos(toy_run, tmp_path / "photos", toy_run.tested_names()[:4])
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"")
    folder = ("--images", str(tmp_path / "photos"))
    assert_error(run("build", *folder), 1, "1 of 5 images cannot be read, first", "bad.jpg", "--skip-unreadable")
    assert not path.exists()
    result = run("build", *folder, "--skip-unreadable", "--json")
    assert output_of(result)["images"] == 4 and "bad.jpg" in result.stderr and "skipping them" in result.stderr
    assert {one.name for one in tmp_path.iterdir()} == {"photos", path.name}


def test_wrong_options_are_one_line_errors(toy_run: ToyRun, run: Run, path: Path, tmp_path: Path) -> None:
    query = str(toy_run.photos()[0])
    assert_error(run("search", query), 1, str(path), "no such gallery", "gallery build --dataset folder")
    assert_error(run("build", "--images", str(tmp_path), "--split", "test"), 1, "cannot be combined")
    assert_error(run("build", "--split", "large"), 1, "unknown split of folder large")
    assert_error(run("build", "--recipe", "other"), 1, "other: no trained network")
    assert_error(run("build", "--detector", str(tmp_path / "no")), 1, str(tmp_path / "no"))
    output_of(run("build", "--json"))
    assert_error(run("search", str(tmp_path / "no.jpg")), 1, "no.jpg: no such file")
    assert_error(run("search", query, query), 1, "occur more than once")
    foreign = tmp_path / "weights.safetensors"
    foreign.write_bytes((toy_run.runs / "detector" / "toy" / "weights.safetensors").read_bytes() + b" ")
    assert_error(run("search", query, "--detector", str(foreign)), 1, "made with detector = ", "this run needs")


def test_an_old_gallery_is_named_converted_and_checked(toy_run: ToyRun, run: Run, path: Path) -> None:
    output_of(run("build", "--json"))
    model, count = toy_run.model(), len(toy_run.names("gallery"))
    old = path.with_name("gallery.safetensors")
    write_old(old, Gallery.load(path, model).entries, model=model.fingerprint)
    wanted = output_of(run("search", str(toy_run.photos()[0]), "-k", "3", "--json"))
    shutil.rmtree(path)
    assert_error(run("search", str(toy_run.photos()[0])), 1, f"`python cli.py gallery convert {old}`")
    converted = CliRunner().invoke(main, ["gallery", "convert", str(old)])
    assert (
        converted.exit_code == 0 and f"{path}: {len(toy_run.names('gallery'))} images, index exact" in converted.output
    )
    found = output_of(run("search", str(toy_run.photos()[0]), "-k", "3", "--json"))
    assert found == [{**match, "vehicle": ""} for match in wanted]  # which old files do not have
    checked = CliRunner().invoke(main, ["gallery", "check", str(path)])
    assert f"{count} images are as they were written" in checked.output
    assert_error(run("search", str(toy_run.photos()[0]), "--gallery", str(old)), 1, "a file, and a gallery is a folder")


def test_details_restrict_a_search(toy_run: ToyRun, run: Run, tmp_path: Path) -> None:
    names, photos = toy_run.tested_names()[:4], tmp_path / "photos"
    files = [path.name for path in copy_photos(toy_run, photos, names)]
    table = tmp_path / "photos.csv"
    lines = [f"{file},2026-11-2{number}T08:00,{'left' if number % 2 else 'right'}" for number, file in enumerate(files)]
    table.write_text("\n".join(["name,time,lane", *lines[:3]]))
    output_of(run("build", "--images", str(photos), "--details", str(table), "--json"))

    def found(*words: str) -> set[str]:
        return {match["name"] for match in output_of(run("search", str(photos / files[0]), "--json", *words))}

    assert found() == {*files} and found("--since", "2026-11-21") == {*files[1:3]}
    assert found("--until", "2026-11-21") == {*files[:2]} and found("--where", "lane=left") == {files[1]}
    assert_error(run("search", str(photos / files[0]), "--where", "color=red"), 1, "no column color")
    assert run("search", str(photos / files[0]), "--where", "red").exit_code == 2
    table.write_text("\n".join(["name,time", lines[0], lines[0]]))
    refused = run("search", *map(str, photos.glob("*.jpg")), "--since", "yesterday")
    assert_error(refused, 1, "since yesterday: must be as in ISO 8601")
    assert_error(run("add", "--images", str(photos), "--details", str(table)), 1, "1 images are listed twice", files[0])


def test_vehicles_of_a_data_set_are_details(toy_run: ToyRun, run: Run, path: Path) -> None:
    output_of(run("build", "--json"))
    table = toy_run.toy.dataset.table.set_index("name")
    entries = Gallery.load(path, toy_run.model()).entries
    assert entries.details["vehicle"].tolist() == [str(table.loc[name, "vehicle_id"]) for name in entries.names]


def test_an_empty_gallery_is_searched_filled_and_emptied(toy_run: ToyRun, run: Run, path: Path, tmp_path: Path) -> None:
    Gallery.build(toy_run.model(), address=path)
    photo = str(toy_run.photos()[0])
    assert output_of(run("search", photo, "--json")) == [] and run("search", photo, "--rerank").exit_code == 0
    checked = CliRunner().invoke(main, ["gallery", "check", str(path)])
    assert checked.stdout == f"{path}: 0 images are as they were written\n"
    photos = copy_photos(toy_run, tmp_path / "photos", toy_run.names("query")[:2])
    assert output_of(run("add", "--images", str(tmp_path / "photos"), "--json"))["images"] == 2
    assert output_of(run("search", photo, "--json"))[0]["rank"] == 1
    assert output_of(run("remove", *(one.name for one in photos), "--json"))["images"] == 0
    assert output_of(run("search", photo, "--json")) == []


def test_the_column_of_the_api_is_the_gallerys_own(toy_run: ToyRun, run: Run, path: Path, tmp_path: Path) -> None:
    (photo,) = copy_photos(toy_run, tmp_path / "photos", toy_run.names("query")[:1])
    details = tmp_path / "details.csv"
    details.write_text(f"name,Enrolled_By\n{photo.name},me\n")
    result = run("build", "--images", str(photo.parent), "--details", str(details))
    assert_error(result, 1, "column Enrolled_By: the gallery notes there what came through the API; rename it")
    assert not path.exists()
