"""Layouts of the benchmarks: their readers find the planned shots, and their protocols hold."""

from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import main
from data_cache.base.files import read_json
from data_cache.check.check import check_dataset
from data_cache.commands.synth import synth
from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.dataset import is_stand_in
from data_cache.synthetic import LAYOUTS, SyntheticSettings
from data_cache.synthetic.dataset.layouts import VERI_COLOURS, VERI_TYPES, VERI_WORDS
from data_cache.synthetic.design import sampling
from data_cache.synthetic.design.bodies import BODIES
from helpers.toy.layouts import ONE_TAKE, TWO_TAKES, Written, planned, splits_of, write_all

SIZES = {"small", "medium", "large"}
SPLITS = {"veri": {"track", "test"}, "vehicleid": SIZES, "vric": {"test"}, "veriwild": SIZES}
BENCHMARKS = list(SPLITS)
Sets = tuple[SyntheticSettings, dict[str, Written]]


@pytest.fixture(scope="module", params=[TWO_TAKES, ONE_TAKE], ids=["two takes", "one take"])
def sets(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sets:
    return request.param, write_all(tmp_path_factory.mktemp("data"), request.param, BENCHMARKS)


@pytest.mark.parametrize("layout", BENCHMARKS)
def test_the_reader_finds_the_planned_shots(sets: Sets, layout: str) -> None:
    settings, written = sets
    dataset, rows = written[layout]
    train, test = ([row for row in rows if (row.split == "train") == is_train] for is_train in (True, False))
    assert Counter(row.shot for row in train) == Counter(shot for shot in planned(settings) if shot.split == "train")
    assert {row.shot.vehicle for row in test} == {shot.vehicle for shot in planned(settings) if shot.split != "train"}
    for part in (train, test):  # each part may number its vehicles from 1
        assert len({(row.vehicle, row.shot.vehicle) for row in part}) == len({row.vehicle for row in part})
        assert len({row.vehicle for row in part}) == len({row.shot.vehicle for row in part})
    assert all(row.camera == (-1 if layout == "vehicleid" else row.shot.camera) for row in rows)
    files = {path.relative_to(dataset.root).as_posix() for path in dataset.root.rglob("*.jpg")}
    assert files == {row.name for row in rows}


@pytest.mark.parametrize("layout", BENCHMARKS)
def test_rendered_images_are_never_taken_for_the_benchmark(sets: Sets, layout: str) -> None:
    dataset, _ = sets[1][layout]
    assert dataset.rendered and not dataset.released and is_stand_in(dataset)
    check = check_dataset(dataset)
    assert not check.errors and not check.warnings
    assert layout in check.notes[0]
    assert (check.ground_truth is not None) == (layout == "veri")  # its answers agree, or there were errors


def test_splits_of_the_shots(sets: Sets) -> None:
    settings, written = sets
    test = [shot for shot in planned(settings) if shot.split != "train"]
    queries = [shot for shot in test if shot.split == "query"]
    vehicles = sorted({shot.vehicle for shot in test})
    shots = {
        layout: {split: [row.shot for row in rows] for split, rows in splits_of(found.rows).items() if split != "train"}
        for layout, found in written.items()
    }
    assert shots["veri"] == {"query": queries, "gallery": test}
    assert shots["vehicleid"] == {"test": test}
    vric = shots["vric"]
    assert [shot.vehicle for shot in vric["query"]] == [shot.vehicle for shot in vric["gallery"]] == vehicles
    assert all(one.camera != other.camera for one, other in zip(vric["query"], vric["gallery"], strict=True))
    wild = shots["veriwild"]
    assert sorted(shot.vehicle for shot in wild["query"]) == vehicles
    assert Counter(wild["query"] + wild["gallery"]) == Counter(test)


@pytest.mark.parametrize("layout", BENCHMARKS)
def test_every_query_has_a_match_that_is_not_junk(sets: Sets, layout: str) -> None:
    dataset, rows = sets[1][layout]
    assert set(dataset.splits) == SPLITS[layout]
    for split in dataset.splits:
        protocol = dataset.protocol(split)
        assert protocol.same_camera_is_junk == (layout in ("veri", "veriwild"))
        for trial in protocol.trials:
            gallery = [rows[row].shot for row in trial.gallery.tolist()]
            for query in (rows[row].shot for row in trial.query.tolist()):
                matches = [shot for shot in gallery if shot.vehicle == query.vehicle]
                assert any(shot.camera != query.camera or not protocol.same_camera_is_junk for shot in matches)


def test_veri_queries_tracks_and_labels(sets: Sets) -> None:
    dataset, rows = sets[1]["veri"]
    queries, gallery = (_columns(dataset.root, f"name_{part}.txt") for part in ("query", "test"))
    assert all(query in gallery for query in queries)  # under the same name
    tracks = _columns(dataset.root, "test_track.txt")
    assert [[name] for _, *names in tracks for name in names] == gallery
    assert [(int(name[:4]), int(name[6:9])) for name, *_ in tracks] == list(
        dict.fromkeys((row.shot.vehicle, row.shot.camera) for row in rows if row.split == "gallery")
    )
    designs = _design_columns(dataset.root)
    for row, colour, kind in zip(rows, dataset.table["colour"], dataset.table["type"], strict=True):
        design = designs[str(row.shot.vehicle)]
        assert (colour, kind) == tuple(VERI_WORDS.get(design[key], design[key]) for key in ("colour", "body"))


def test_all_colours_and_bodies_have_a_number_in_veri() -> None:
    assert {VERI_WORDS.get(name, name) for name in sampling.COLOURS} <= set(VERI_COLOURS)
    assert {VERI_WORDS.get(name, name) for name in BODIES} <= set(VERI_TYPES)


def test_vric_lists(sets: Sets) -> None:
    root = sets[1]["vric"].dataset.root
    for part in ("train", "probe", "gallery"):
        names, labels, _ = zip(*_columns(root, f"vric_{part}.txt"), strict=True)
        assert list(names) == [f"{number:07d}.jpg" for number in range(1, len(names) + 1)]
        assert {int(label) for label in labels} == set(range(1, len(set(labels)) + 1))


@pytest.mark.parametrize("layout", ["vehicleid", "veriwild"])
def test_smaller_tests_are_subsets_of_larger_ones(sets: Sets, layout: str) -> None:
    dataset, rows = sets[1][layout]
    small, medium, large = (set(dataset.protocol(split).rows().tolist()) for split in ("small", "medium", "large"))
    assert small <= medium <= large == {number for number, row in enumerate(rows) if row.split != "train"}
    vehicles = [len({rows[row].shot.vehicle for row in used}) for used in (small, medium, large)]
    assert vehicles == {4: [1, 2, 4], 2: [1, 1, 2]}[vehicles[2]]


def test_vehicleid_names_and_attributes(sets: Sets) -> None:
    dataset, rows = sets[1]["vehicleid"]
    vehicle_of = dict(_columns(dataset.root, "attribute/img2vid.txt"))
    assert vehicle_of == {row.name.removeprefix("image/").removesuffix(".jpg"): row.vehicle for row in rows}
    assert sorted(vehicle_of) == [f"{number:07d}" for number in range(1, len(rows) + 1)]
    designs = _design_columns(dataset.root)
    for attribute, names, column in (("model_attr", "model_names", "body"), ("color_attr", "color_names", "colour")):
        meaning = {number: name for name, number in _columns(dataset.root, f"attribute/{names}.txt")}
        for vehicle, number in _columns(dataset.root, f"attribute/{attribute}.txt"):
            assert meaning[number] == designs[vehicle][column].replace("grey", "gray")


def test_veriwild_lists(sets: Sets) -> None:
    dataset, rows = sets[1]["veriwild"]
    lists = {path.stem: path.read_text().splitlines() for path in (dataset.root / "train_test_split").iterdir()}
    for size in (3000, 5000, 10000):
        assert not set(lists[f"test_{size}"]) & set(lists[f"test_{size}_query"])  # as in the released lists
    assert sorted(row.name[-10:-4] for row in rows) == [f"{number:06d}" for number in range(1, len(rows) + 1)]
    assert lists["vehicle_info"][0] == "id/image;Camera ID;Time;Model;Type;Color"
    designs = _design_columns(dataset.root)
    for row, body, colour in zip(rows, dataset.table["type"], dataset.table["colour"], strict=True):
        design = designs[str(row.shot.vehicle)]
        assert (body, colour) == (design["body"], design["colour"])


def _columns(root: Path, name: str) -> list[list[str]]:
    return [line.split() for line in (root / name).read_text().splitlines()]


def _design_columns(root: Path) -> dict[str, dict[str, str]]:
    """Return one row of images.csv per vehicle."""
    head, *lines = [line.split(",") for line in (root / "images.csv").read_text().splitlines()]
    return {row["vehicle_id"]: row for row in (dict(zip(head, line, strict=True)) for line in lines)}


@pytest.mark.parametrize("layout", BENCHMARKS)
def test_images_keep_their_part_boxes(sets: Sets, layout: str) -> None:
    dataset, rows = sets[1][layout]
    for part in ("train", "test"):
        plain, own = (_boxes(root / f"parts_{part}.json") for root in (dataset.root.parent / "synthetic", dataset.root))
        assert own == {row.name: plain[row.shot.name] for row in rows if (row.split == "train") == (part == "train")}


def _boxes(path: Path) -> dict[str, list[tuple[object, ...]]]:
    content = read_json(path)
    boxes: dict[str, list[tuple[object, ...]]] = {
        image["file_name"]: [(image["width"], image["height"], image["vehicle_id"])] for image in content["images"]
    }
    name_of = {image["id"]: image["file_name"] for image in content["images"]}
    for annotation in content["annotations"]:
        boxes[name_of[annotation["image_id"]]].append((annotation["category_id"], *annotation["bbox"]))
    return boxes


def test_the_command_knows_every_layout(tmp_path: Path) -> None:
    option = next(parameter for parameter in synth.params if parameter.name == "layout")
    assert list(option.to_info_dict()["type"]["choices"]) == list(LAYOUTS)
    options = "--layout vric --vehicles 2 --fleet-size 1 --cameras 2 --cameras-per-vehicle 2 --images-per-camera 1"
    options += " --image-size 48 --workers 0 --preview"
    result = CliRunner().invoke(main, ["synth", "--data-root", str(tmp_path), *options.split()])
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == [str(tmp_path / "VRIC"), str(tmp_path / "VRIC" / "preview.png")]
    assert len(load_dataset("vric", tmp_path).table) == 4
