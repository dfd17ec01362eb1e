"""The tree of VeRi-776: queries are copies of gallery images, the shipped index files follow the junk rule."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from data_cache.synthetic import SyntheticSettings
from helpers.toy.layouts import ONE_TAKE, TWO_TAKES, Written, write_all

NAME = re.compile(r"(\d{4})_c(\d{3})_\d{8}_\d\.jpg")
OFFICIAL = {"silver": "gray", "grey": "gray", "gold": "golden", "minibus": "bus"}


@pytest.fixture(scope="module", params=[TWO_TAKES, ONE_TAKE], ids=["two takes", "one take"])
def veri(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    settings: SyntheticSettings = request.param
    return write_all(tmp_path_factory.mktemp("data"), settings, ["veri"])["veri"]


def _lines(root: Path, name: str) -> list[str]:
    return (root / name).read_text().splitlines()


def _vehicle_and_camera(name: str) -> tuple[int, int]:
    match = NAME.fullmatch(name)
    assert match is not None, name
    return int(match[1]), int(match[2])


def test_names_tell_vehicle_and_camera(veri: Written) -> None:
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
    queries, gallery = _lines(root, "name_query.txt"), _lines(root, "name_test.txt")
    good, junk = _lines(root, "gt_index.txt"), _lines(root, "jk_index.txt")
    assert len(good) == len(junk) == len(queries)
    for query, its_good, its_junk in zip(queries, good, junk, strict=True):
        vehicle, camera = _vehicle_and_camera(query)
        same = [_vehicle_and_camera(name) == (vehicle, camera) for name in gallery]
        match = [_vehicle_and_camera(name)[0] == vehicle for name in gallery]
        naive = [index + 1 for index in range(len(gallery)) if match[index] and not same[index]]
        assert [int(index) for index in its_good.split()] == naive
        assert [int(index) for index in its_junk.split()] == [index + 1 for index, told in enumerate(same) if told]
        assert gallery.index(query) + 1 in map(int, its_junk.split())  # the query itself is junk


def test_tracks_hold_the_gallery_once(veri: Written) -> None:
    root = veri.dataset.root
    tracks = [line.split() for line in _lines(root, "test_track.txt")]
    assert [name for _, *names in tracks for name in names] == _lines(root, "name_test.txt")
    for title, *names in tracks:
        assert NAME.fullmatch(title) is None  # as in the release, where a line begins with the name of the track
        assert {_vehicle_and_camera(name) for name in names} == {(int(title[:4]), int(title[6:9]))}
    assert len({tuple(title.split("_")[:2]) for title, *_ in tracks}) == len(tracks)


@pytest.mark.parametrize("part", ["train", "test"])
def test_labels_are_gb2312_and_tell_colour_and_type(veri: Written, part: str) -> None:
    root = veri.dataset.root
    data = (root / f"{part}_label.xml").read_bytes()
    declaration, text = data.decode("gb2312").split("?>", 1)
    assert declaration == '<?xml version="1.0" encoding="gb2312"'
    items = ElementTree.fromstring(text).find("Items")
    assert items is not None and items.get("number") == str(len(items))
    assert [item.get("imageName") for item in items] == _lines(root, f"name_{part}.txt")
    head, *rows = [line.split(",") for line in _lines(root, "images.csv")]
    drawn = {row[0].split("/")[1]: dict(zip(head, row, strict=True)) for row in rows}
    for item in items:
        name = str(item.get("imageName"))
        assert (item.get("vehicleID"), item.get("cameraID")) == tuple(name.split("_")[:2])
        for attribute, listing, column in (("colorID", "color", "colour"), ("typeID", "type", "body")):
            meaning = dict(line.split() for line in _lines(root, f"list_{listing}.txt"))
            word = drawn[name][column]
            assert meaning[str(item.get(attribute))] == OFFICIAL.get(word, word)


def test_all_colours_and_bodies_have_a_number() -> None:
    from data_cache.synthetic.dataset.veri_layout import COLOURS, OTHER_NAMES, TYPES
    from data_cache.synthetic.design.bodies import BODIES
    from data_cache.synthetic.design.sampling import COLOURS as DRAWN

    assert {OTHER_NAMES.get(name, name) for name in DRAWN} <= set(COLOURS)
    assert {OTHER_NAMES.get(name, name) for name in BODIES} <= set(TYPES)
