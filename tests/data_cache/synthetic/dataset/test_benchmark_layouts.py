"""The trees of the benchmarks: their readers find what was planned, and their protocols hold."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import main
from data_cache.base.errors import UserError
from data_cache.base.files import read_json
from data_cache.check.check import check_dataset
from data_cache.commands.synth import synth
from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.dataset import is_stand_in
from data_cache.synthetic import LAYOUTS, SyntheticSettings
from helpers.toy.layouts import ONE_TAKE, TWO_TAKES, Seen, Written, planned, splits_of, write, write_all

SIZES = {"small", "medium", "large"}
SPLITS = {"veri": {"test"}, "vehicleid": SIZES, "vric": {"test"}, "veriwild": SIZES}
BENCHMARKS = list(SPLITS)
Sets = tuple[SyntheticSettings, dict[str, Written]]


@pytest.fixture(scope="module", params=[TWO_TAKES, ONE_TAKE], ids=["two takes", "one take"])
def sets(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sets:
    return request.param, write_all(tmp_path_factory.mktemp("data"), request.param, BENCHMARKS)


@pytest.mark.parametrize("layout", BENCHMARKS)
def test_the_reader_finds_what_was_planned(sets: Sets, layout: str) -> None:
    settings, written = sets
    dataset, rows = written[layout]
    trained, tested = ([row for row in rows if (row.split == "train") == train] for train in (True, False))
    assert Counter(row.shot for row in trained) == Counter(shot for shot in planned(settings) if shot.split == "train")
    assert {row.shot.vehicle for row in tested} == {s.vehicle for s in planned(settings) if s.split != "train"}
    for part in (trained, tested):  # training and test may number their vehicles alike
        assert len({(row.vehicle, row.shot.vehicle) for row in part}) == len({row.vehicle for row in part})
        assert len({row.vehicle for row in part}) == len({row.shot.vehicle for row in part})
    assert all(row.camera == (-1 if layout == "vehicleid" else row.shot.camera) for row in rows)
    files = {path.relative_to(dataset.root).as_posix() for path in dataset.root.rglob("*.jpg")}
    assert files == {row.name for row in rows}


@pytest.mark.parametrize("layout", BENCHMARKS)
def test_rendered_vehicles_never_pass_for_the_benchmark(sets: Sets, layout: str) -> None:
    dataset, _ = sets[1][layout]
    assert dataset.rendered and not dataset.released and is_stand_in(dataset)
    check = check_dataset(dataset)
    assert not check.faults and not check.warnings  # of the benchmark's sizes
    assert check.remarks[0] == f"rendered vehicles in the layout of {layout}, not its photographs"


def test_what_the_pictures_serve_for(sets: Sets) -> None:
    settings, written = sets
    tested = [shot for shot in planned(settings) if shot.split != "train"]
    queries = [shot for shot in tested if shot.split == "query"]
    vehicles = sorted({shot.vehicle for shot in tested})
    shots = {
        layout: {split: [row.shot for row in rows] for split, rows in splits_of(found.rows).items() if split != "train"}
        for layout, found in written.items()
    }
    assert shots["veri"] == {"query": queries, "gallery": tested}
    assert shots["vehicleid"] == {"test": tested}
    vric = shots["vric"]
    assert [shot.vehicle for shot in vric["query"]] == [shot.vehicle for shot in vric["gallery"]] == vehicles
    assert all(one.camera != other.camera for one, other in zip(vric["query"], vric["gallery"], strict=True))
    wild = shots["veriwild"]
    assert sorted(shot.vehicle for shot in wild["query"]) == vehicles
    assert Counter(wild["query"] + wild["gallery"]) == Counter(tested)


@pytest.mark.parametrize("layout", BENCHMARKS)
def test_every_query_has_a_match_that_is_no_junk(sets: Sets, layout: str) -> None:
    dataset, rows = sets[1][layout]
    assert set(dataset.splits) >= SPLITS[layout]
    for split in dataset.splits:
        protocol = dataset.protocol(split)
        assert protocol.same_camera_is_junk == (layout in ("veri", "veriwild"))
        for trial in protocol.trials:
            gallery = [rows[row] for row in trial.gallery.tolist()]
            for query in (rows[row] for row in trial.query.tolist()):
                junk = [one for one in gallery if _is_junk(query, one)] if protocol.same_camera_is_junk else []
                assert any(one.shot.vehicle == query.shot.vehicle and one not in junk for one in gallery)


def _is_junk(query: Seen, one: Seen) -> bool:
    return one.shot.vehicle == query.shot.vehicle and one.shot.camera == query.shot.camera


def test_vric_has_no_pair_by_one_camera(sets: Sets) -> None:
    dataset, rows = sets[1]["vric"]
    (trial,) = dataset.protocol("test").trials
    gallery = [rows[row] for row in trial.gallery.tolist()]
    for query in (rows[row] for row in trial.query.tolist()):
        (match,) = [one for one in gallery if one.vehicle == query.vehicle]
        assert match.camera != query.camera
    for part in ("train", "probe", "gallery"):
        lines = [line.split() for line in (dataset.root / f"vric_{part}.txt").read_text().splitlines()]
        assert [name for name, _, _ in lines] == [f"{number:07d}.jpg" for number in range(1, len(lines) + 1)]
        assert {int(label) for _, label, _ in lines} == set(range(1, len({label for _, label, _ in lines}) + 1))
        assert all(int(camera) >= 1 for _, _, camera in lines)


def test_vehicleid_draws_one_gallery_image_of_every_vehicle(sets: Sets) -> None:
    dataset, rows = sets[1]["vehicleid"]
    for split in SIZES:
        protocol = dataset.protocol(split)
        assert len(protocol.trials) == 10
        for trial in protocol.trials:
            gallery = [rows[row].shot.vehicle for row in trial.gallery.tolist()]
            queries = [rows[row].shot.vehicle for row in trial.query.tolist()]
            assert len(set(gallery)) == len(gallery)
            assert set(queries) == set(gallery)  # every vehicle has two pictures or more
            assert len(gallery) + len(queries) == sum(row.shot.vehicle in gallery for row in rows)


@pytest.mark.parametrize("layout", ["vehicleid", "veriwild"])
def test_a_smaller_test_is_part_of_the_larger(sets: Sets, layout: str) -> None:
    dataset, rows = sets[1][layout]
    used = [set(dataset.protocol(split).rows().tolist()) for split in ("small", "medium", "large")]
    assert used[0] <= used[1] <= used[2] == {number for number, row in enumerate(rows) if row.split != "train"}
    vehicles = [len({rows[row].shot.vehicle for row in one}) for one in used]
    assert vehicles == {4: [1, 2, 4], 2: [1, 1, 2]}[vehicles[2]]


def test_vehicleid_names_and_attributes(sets: Sets) -> None:
    dataset, rows = sets[1]["vehicleid"]
    told = {
        line.split()[0]: line.split()[1] for line in (dataset.root / "attribute/img2vid.txt").read_text().splitlines()
    }
    assert told == {row.name.removeprefix("image/").removesuffix(".jpg"): row.vehicle for row in rows}
    assert sorted(told) == [f"{number:07d}" for number in range(1, len(rows) + 1)]
    drawn = _drawn(dataset.root)
    for attribute, names, column in (("model_attr", "model_names", "body"), ("color_attr", "color_names", "colour")):
        number_of = [line.split() for line in (dataset.root / f"attribute/{names}.txt").read_text().splitlines()]
        meaning = {number: name for name, number in number_of}
        for line in (dataset.root / f"attribute/{attribute}.txt").read_text().splitlines():
            vehicle, number = line.split()
            assert meaning[number] == drawn[vehicle][column].replace("grey", "gray")


def _drawn(root: Path) -> dict[str, dict[str, str]]:
    """Return the row of images.csv of some picture of every vehicle."""
    head, *lines = [line.split(",") for line in (root / "images.csv").read_text().splitlines()]
    return {row["vehicle_id"]: row for row in (dict(zip(head, line, strict=True)) for line in lines)}


def test_veriwild_lists(sets: Sets) -> None:
    dataset, rows = sets[1]["veriwild"]
    lists = {path.stem: path.read_text().splitlines() for path in (dataset.root / "train_test_split").iterdir()}
    for size in (3000, 5000, 10000):
        assert not set(lists[f"test_{size}"]) & set(lists[f"test_{size}_query"])  # as in the released lists
    every = [f"images/{key}.jpg" for name in ("train_list", "test_10000", "test_10000_query") for key in lists[name]]
    assert sorted(every) == sorted(row.name for row in rows)
    assert sorted(name[-10:-4] for name in every) == [f"{number:06d}" for number in range(1, len(rows) + 1)]
    header, *told = lists["vehicle_info"]
    assert header == "id/image;Camera ID;Time;Model;Type;Color"
    camera_of = {f"images/{line.split(';')[0]}.jpg": line.split(";")[1] for line in told}
    assert camera_of == {row.name: str(row.shot.camera) for row in rows}
    drawn = _drawn(dataset.root)
    for line in told:
        key, *_, body, colour = line.split(";")
        vehicle = drawn[str(int(key.split("/")[0]))]
        assert (body, colour) == (vehicle["body"], vehicle["colour"])


@pytest.mark.parametrize("layout", BENCHMARKS)
def test_pictures_keep_their_part_boxes(sets: Sets, layout: str) -> None:
    dataset, rows = sets[1][layout]
    for part in ("train", "test"):
        plain, own = (_boxes(root / f"parts_{part}.json") for root in (dataset.root.parent / "synthetic", dataset.root))
        mine = [row for row in rows if (row.split == "train") == (part == "train")]
        assert own == {row.name: plain[row.shot.name] for row in mine}


def _boxes(path: Path) -> dict[str, list[tuple[object, ...]]]:
    content = read_json(path)
    found: dict[str, list[tuple[object, ...]]] = {
        image["file_name"]: [(image["width"], image["height"], image["vehicle_id"])] for image in content["images"]
    }
    name_of = {image["id"]: image["file_name"] for image in content["images"]}
    for annotation in content["annotations"]:
        found[name_of[annotation["image_id"]]].append((annotation["category_id"], *annotation["bbox"]))
    return found


@pytest.mark.parametrize("layout", BENCHMARKS)
def test_the_same_settings_give_the_same_bytes(tmp_path: Path, layout: str) -> None:
    one, other = (_contents(write(layout, tmp_path / place, ONE_TAKE)) for place in ("one", "other"))
    assert one == other
    assert json.loads(one["synthetic.json"])["layout"] == layout


def _contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.*")}


@pytest.mark.parametrize("layout", BENCHMARKS)
def test_a_tree_has_the_folders_of_its_reader(tmp_path: Path, layout: str) -> None:
    with pytest.raises(UserError) as error:
        load_dataset(layout, tmp_path)
    looked_for = re.findall(re.escape(f"{tmp_path}/") + r"([\w.-]+)", str(error.value))
    assert tuple(looked_for) == LAYOUTS[layout].folders


def test_the_command_knows_every_layout(tmp_path: Path) -> None:
    option = next(parameter for parameter in synth.params if parameter.name == "layout")
    assert list(option.to_info_dict()["type"]["choices"]) == list(LAYOUTS)
    words = ["--layout", "vric", "--vehicles", "2", "--fleet-size", "1", "--cameras", "2", "--cameras-per-vehicle", "2"]
    more = ["--images-per-camera", "1", "--image-size", "48", "--workers", "0", "--preview"]
    result = CliRunner().invoke(main, ["synth", "--data-root", str(tmp_path), *words, *more])
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == [str(tmp_path / "VRIC"), str(tmp_path / "VRIC" / "preview.png")]
    assert len(load_dataset("vric", tmp_path).table) == 4
