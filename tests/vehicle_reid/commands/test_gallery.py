"""The commands on galleries as typed: what they build, add, remove, find and refuse."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli import main
from data_cache.images.loading import load_image
from helpers.places.api import Place, make_place, small_networks
from helpers.places.reid import assert_error
from vehicle_reid import Gallery
from vehicle_reid.commands.sources import images_of_list

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with small_networks():
        yield make_place(tmp_path_factory.mktemp("place"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gallery.safetensors"


@pytest.fixture
def run(place: Place, path: Path) -> Run:
    def typed(command: str, *words: str) -> Result:
        where = ["--dataset", "folder", "--runs", str(place.runs), "--device", "cpu", "--gallery", str(path)]
        if command in ("build", "add"):
            where += ["--data-root", str(place.root), "--workers", "0"]
        result = CliRunner().invoke(main, ["gallery", command, *where, *words])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return typed


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def photos(place: Place, folder: Path, names: list[str]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / Path(name).name).write_bytes(place.path(name).read_bytes())
    return [folder / Path(name).name for name in names]


def test_a_gallery_of_a_data_sets_test(place: Place, run: Run, path: Path) -> None:
    table = place.toy.dataset.table
    wanted = table[table["split"] == "gallery"]
    result = run("build", "--json")
    assert told(result) == {"gallery": str(path), "images": len(wanted), "index": "exact"}
    assert list(path.parent.iterdir()) == [path] and "finding parts" not in result.stderr
    gallery = Gallery.load(path, place.model())
    assert sorted(gallery.names) == sorted(wanted["name"])
    query = place.path(place.tested()[0])
    found = told(run("search", str(query), "-k", "3", "--json", "--camera", "1"))
    own = gallery.search(query, k=3, cameras=[1])
    assert [(one["name"], one["rank"], one["camera"]) for one in found] == [
        (name, rank, 1) for name, rank in zip(own["name"], own["rank"], strict=True)
    ]
    assert found[0]["boxes"] == own["boxes"][0].tolist() and found[0]["attention"] == own["attention"][0].tolist()
    assert found[0]["parts"] == list(own["parts"][0]) and found[0]["query"] == str(query)
    assert found[0]["score"] == pytest.approx(own["score"][0])
    shown = run("search", str(query), "-k", "2", "--without-camera", "1").stdout
    assert "weighs most" in shown and f"{gallery.search(query, k=1, cameras=[0])['score'].item():.3f}" in shown


def test_a_folder_is_built_of_added_to_and_removed_from(place: Place, run: Run, path: Path, tmp_path: Path) -> None:
    names = place.toy.dataset.names()
    photos(place, tmp_path / "photos", names[:30])
    folder = ("--images", str(tmp_path / "photos"), "--json")
    built = told(run("build", *folder, "--index", "ivf", "--camera", "4"))
    assert (built["images"], built["index"]) == (30, "ivf") and 0.95 <= built["recall_at_10"] <= 1
    photos(place, tmp_path / "photos", names[30:32])
    photos(place, tmp_path / "photos", names[32:33])[0].rename(tmp_path / "photos" / "a b.jpg")
    assert_error(run("add", *folder), 1, "30 images are in the gallery already", "remove them first")
    assert told(run("add", *folder, "--only-new", "--camera", "5"))["images"] == 33
    assert told(run("add", *folder, "--only-new"))["images"] == 33
    gone = [Path(names[0]).name, "a b.jpg", Path(names[1]).name]
    (tmp_path / "gone.txt").write_text(f"{gone[1]}\n{gone[2]}\n")
    assert "name the images to remove, or give --list" in run("remove").stderr
    assert_error(run("remove", "nobody.jpg"), 1, "1 of 1 names are not in it, first nobody.jpg")
    assert told(run("remove", gone[0], "--list", str(tmp_path / "gone.txt"), "--json"))["images"] == 30
    found = told(run("search", str(place.path(names[31])), "-k", "40", "--camera", "5", "--json"))
    assert len(found) == 2 and found[0]["name"] == Path(names[31]).name
    assert {one.name for one in tmp_path.iterdir()} - {"photos", "gone.txt"} == {path.name, *_indices(tmp_path)}
    assert len(_indices(tmp_path)) == 1


def _indices(folder: Path) -> list[str]:
    return [one.name for one in folder.glob("*.faiss")]


def test_a_gallery_that_is_there_is_not_built_over(run: Run, path: Path) -> None:
    told(run("build", "--json"))
    before = path.read_bytes()
    assert_error(run("build"), 1, str(path), "there is a gallery already", "delete it")
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_a_list_names_images_and_cameras(place: Place, run: Run, tmp_path: Path) -> None:
    paths = photos(place, tmp_path, place.tested()[:3])
    listed = tmp_path / "list.txt"
    listed.write_text(f"{paths[0].name} 7\n{paths[1].name}\n\n{paths[2].name} 0\n")
    found = images_of_list(listed)
    assert found.names == tuple(one.name for one in paths) and found.cameras.tolist() == [7, -1, 0]
    assert (found.pixels(2) == load_image(paths[2])).all()
    assert told(run("build", "--list", str(listed), "--json"))["images"] == 3
    for text, words in (("../a.jpg", "'../a.jpg'"), ("a.jpg x", "'x' is no camera number"), ("", "lists no image")):
        listed.write_text(text)
        assert_error(run("add", "--list", str(listed)), 1, str(listed), words)


def test_bad_images_end_a_build_or_are_left_out_and_nothing_is_half_done(
    place: Place, run: Run, path: Path, tmp_path: Path
) -> None:
    photos(place, tmp_path / "photos", place.tested()[:4])
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"")
    folder = ("--images", str(tmp_path / "photos"))
    assert_error(run("build", *folder), 1, "1 of 5 images cannot be read, first", "bad.jpg", "--skip-unreadable")
    assert not path.exists()
    result = run("build", *folder, "--skip-unreadable", "--json")
    assert told(result)["images"] == 4 and "bad.jpg" in result.stderr and "they are left out" in result.stderr
    assert {one.name for one in tmp_path.iterdir()} == {"photos", path.name}


def test_wrong_options_are_one_line(place: Place, run: Run, path: Path, tmp_path: Path) -> None:
    query = str(place.path(place.tested()[0]))
    assert_error(run("search", query), 1, str(path), "no such file", "gallery build")
    assert_error(run("build", "--images", str(tmp_path), "--split", "test"), 1, "give one of them")
    assert_error(run("build", "--split", "large"), 1, "unknown split of folder large")
    assert_error(run("build", "--recipe", "other"), 1, "other: no trained network there")
    assert_error(run("build", "--detector", str(tmp_path / "no")), 1, str(tmp_path / "no"))
    told(run("build", "--json"))
    assert_error(run("search", str(tmp_path / "no.jpg")), 1, "no.jpg: no such file")
    assert_error(run("search", query, query), 1, "named twice")
    foreign = tmp_path / "weights.safetensors"
    own = place.runs / "detector" / "toy" / "weights.safetensors"
    foreign.write_bytes(own.read_bytes() + b" ")
    assert_error(run("search", query, "--detector", str(foreign)), 1, "made with detector = ", "this run needs")
