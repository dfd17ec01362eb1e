"""The layout of VeRi-776: queries are copies of gallery images, index files follow the junk rule."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from data_cache.synthetic.dataset.layouts import VERI_COLOURS, VERI_TYPES, VERI_WORDS
from data_cache.synthetic.design import sampling
from data_cache.synthetic.design.bodies import BODIES
from helpers.toy.layouts import ONE_TAKE, TWO_TAKES, Written, write_all

NAME = re.compile(r"(\d{4})_c(\d{3})_\d{8}_\d\.jpg")


@pytest.fixture(scope="module", params=[TWO_TAKES, ONE_TAKE], ids=["two takes", "one take"])
def veri(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write_all(tmp_path_factory.mktemp("data"), request.param, ["veri"])["veri"]


def _lines(root: Path, name: str) -> list[str]:
    return (root / name).read_text().splitlines()


def _vehicle_and_camera(name: str) -> tuple[int, int]:
    match = NAME.fullmatch(name)
    assert match is not None, name
    return int(match[1]), int(match[2])


def test_names_contain_vehicle_and_camera(veri: Written) -> None:
    for row in veri.rows:
        assert _vehicle_and_camera(Path(row.name).name) == (row.shot.vehicle, row.shot.camera)


def test_queries_are_copies_of_gallery_images(veri: Written) -> None:
    root = veri.dataset.root
    queries = _lines(root, "name_query.txt")
    assert queries and set(queries) < set(_lines(root, "name_test.txt"))
    for name in queries:
        assert (root / "image_query" / name).read_bytes() == (root / "image_test" / name).read_bytes()


def test_index_files_follow_the_junk_rule(veri: Written) -> None:
    root = veri.dataset.root
    gallery = [_vehicle_and_camera(name) for name in _lines(root, "name_test.txt")]
    lists = (_lines(root, name) for name in ("name_query.txt", "gt_index.txt", "jk_index.txt"))
    for query, good, junk in zip(*lists, strict=True):
        vehicle, camera = _vehicle_and_camera(query)
        match = [index for index, image in enumerate(gallery, start=1) if image[0] == vehicle]
        assert [int(index) for index in good.split()] == [index for index in match if gallery[index - 1][1] != camera]
        assert [int(index) for index in junk.split()] == [index for index in match if gallery[index - 1][1] == camera]


def test_tracks_contain_the_gallery_once(veri: Written) -> None:
    root = veri.dataset.root
    tracks = [line.split() for line in _lines(root, "test_track.txt")]
    assert [name for _, *names in tracks for name in names] == _lines(root, "name_test.txt")
    for track, *names in tracks:
        assert NAME.fullmatch(track) is None  # as in the release, a line begins with the name of the track
        assert {_vehicle_and_camera(name) for name in names} == {(int(track[:4]), int(track[6:9]))}
    assert len({tuple(track.split("_")[:2]) for track, *_ in tracks}) == len(tracks)


@pytest.mark.parametrize("part", ["train", "test"])
def test_labels_are_gb2312_with_colour_and_type(veri: Written, part: str) -> None:
    root = veri.dataset.root
    declaration, text = (root / f"{part}_label.xml").read_bytes().decode("gb2312").split("?>", 1)
    assert declaration == '<?xml version="1.0" encoding="gb2312"'
    items = ElementTree.fromstring(text).find("Items")
    assert items is not None and items.get("number") == str(len(items))
    assert [item.get("imageName") for item in items] == _lines(root, f"name_{part}.txt")
    head, *rows = [line.split(",") for line in _lines(root, "images.csv")]
    designs = {row[0].split("/")[1]: dict(zip(head, row, strict=True)) for row in rows}
    for item in items:
        name = str(item.get("imageName"))
        assert (item.get("vehicleID"), item.get("cameraID")) == tuple(name.split("_")[:2])
        for attribute, listing, column in (("colorID", "color", "colour"), ("typeID", "type", "body")):
            meaning = dict(line.split() for line in _lines(root, f"list_{listing}.txt"))
            word = designs[name][column]
            assert meaning[str(item.get(attribute))] == VERI_WORDS.get(word, word)


def test_all_colours_and_bodies_have_a_number() -> None:
    assert {VERI_WORDS.get(name, name) for name in sampling.COLOURS} <= set(VERI_COLOURS)
    assert {VERI_WORDS.get(name, name) for name in BODIES} <= set(VERI_TYPES)
