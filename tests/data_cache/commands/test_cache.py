"""The commands `cache verify | stats | merge | export | import`: results, files, and one-line errors."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli import main
from data_cache.base.files import sha256_of_names
from data_cache.parts.cache import PartBoxes, read_parts, write_parts
from helpers.parts import MakeParts, MakePictures, sliced

NAMES = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
Run = Callable[..., Result]


@pytest.fixture
def run(clean_folder: Path) -> Run:
    """Run `cache` commands in an empty folder, without environment variables."""

    def invoke(*words: str) -> Result:
        result = CliRunner().invoke(main, ["cache", *words])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return invoke


@pytest.fixture
def pictures(tmp_path: Path, make_pictures: MakePictures) -> Path:
    """A `folder` data set in data/: four pictures of 12 x 8."""
    make_pictures(tmp_path / "data", NAMES)
    lines = ["name,vehicle_id,camera_id,split", *(f"{name},1,{number},train" for number, name in enumerate(NAMES))]
    (tmp_path / "data" / "images.csv").write_text("\n".join(lines))
    return tmp_path / "data"


def error(result: Result, code: int = 1) -> str:
    """Return the error line of a command that failed with `code`; with 1, nothing else is on standard error."""
    assert result.exit_code == code, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert code == 2 or result.stderr.splitlines() == [line]
    return line


def detected(parts: PartBoxes, dataset: str = "folder") -> PartBoxes:
    names = {"dataset": dataset, "names_sha256": sha256_of_names(list(parts.names))}
    return dataclasses.replace(parts, fingerprint={**parts.fingerprint, **names})


def coco(names: list[str]) -> dict[str, object]:
    images = [{"id": number, "file_name": name, "width": 12, "height": 8} for number, name in enumerate(names)]
    boxes = [{"image_id": 0, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]
    return {"images": images, "categories": [{"id": 1, "name": "wheel"}], "annotations": boxes}


def test_verify_checks_every_file_before_it_fails(run: Run, make_parts: MakeParts) -> None:
    write_parts(Path("good.h5"), make_parts())
    Path("bad.h5").write_bytes(Path("good.h5").read_bytes()[:-1])
    result = run("verify", "bad.h5", "good.h5", "absent.h5")
    assert error(result) == "Error: 2 of 3 part caches are invalid"
    first, second, third = result.stdout.splitlines()
    assert first.startswith("bad.h5: damaged part cache") and third.startswith("absent.h5: no such part cache")
    assert second == "good.h5: valid; 6 images, 7 boxes, 1 empty, 1 failed"
    assert error(run("verify", "bad.h5")).startswith("Error: bad.h5: damaged part cache")
    remedy = "`python cli.py detect --output absent.h5`"
    assert error(run("verify", "absent.h5")) == f"Error: absent.h5: no such part cache; make it with {remedy}"
    assert run("verify", "good.h5", "good.h5").exit_code == 0
    result = run("verify", "good.h5", "absent.h5", "--json")
    assert result.exit_code == 1
    good, absent = json.loads(result.stdout)
    assert good["valid"] and good["images"] == 6 and good["comparison"] is None
    assert not absent["valid"] and absent["errors"][0].startswith("no such part cache")


@pytest.mark.usefixtures("pictures")
def test_no_remedy_deletes_a_file_that_is_no_part_cache(run: Run) -> None:
    for dataset in ((), ("--dataset", "folder")):
        found = error(run("verify", f"data/{NAMES[0]}", *dataset))
        assert "not a part cache" in found and "delete" not in found
    Path("coco.json").write_text(json.dumps(coco(NAMES[:3])))
    picture = Path(f"data/{NAMES[0]}").read_bytes()
    found = error(run("import", "--coco", "coco.json", "--output", f"data/{NAMES[0]}"))
    assert "not a part cache" in found and "delete" not in found
    assert Path(f"data/{NAMES[0]}").read_bytes() == picture


@pytest.mark.usefixtures("pictures")
def test_verify_compares_with_a_data_set(run: Run) -> None:
    Path("coco.json").write_text(json.dumps(coco(NAMES[:3])))
    assert run("import", "--coco", "coco.json", "--output", "parts.h5").exit_code == 0
    assert run("verify", "parts.h5").exit_code == 0
    found = error(run("verify", "parts.h5", "--dataset", "folder"))
    assert found == "Error: parts.h5: 1 images of folder are not in it, first d.jpg"
    assert "data set veri not found" in error(run("verify", "parts.h5", "--dataset", "veri"))


def test_stats_as_table_json_and_files(run: Run, make_parts: MakeParts) -> None:
    parts = make_parts()
    write_parts(Path("parts.h5"), parts)
    found = int((parts.scores.max(axis=1) >= 0.5).sum())
    assert f"6 images: {found} with parts, {5 - found} without, 1 failed" in run("stats", "parts.h5").stdout
    result = run("stats", "parts.h5", "--json", "--output", "out")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json.loads(Path("out/stats.json").read_text())
    assert result.stderr.split() == ["out/stats.json", "out/stats.png"]
    found = json.loads(run("stats", "parts.h5", "--per-label", "1", "--top", "2", "--json").stdout)
    assert found.pop("coverage")["top_d"] == 2 and found == json.loads(result.stdout)
    for option in (["--per-label", "1"], ["--first", "varying"]):
        assert "% of chosen" in run("stats", "parts.h5", *option).stdout
    assert "absent.h5: no such part cache" in error(run("stats", "absent.h5"))


def test_merge_joins_caches_and_overwrites_no_other(run: Run, make_parts: MakeParts) -> None:
    whole = detected(make_parts(8, 2))
    for name, rows in (("one", slice(0, 5)), ("two", slice(5, 8))):
        write_parts(Path(f"{name}.h5"), detected(sliced(whole, rows)))
    result = run("merge", "all.h5", "two.h5", "one.h5")
    assert result.stdout == f"all.h5: 8 images, {(whole.labels >= 0).sum()} boxes from 2 caches\n"
    write_parts(Path("whole.h5"), whole)
    assert Path("all.h5").read_bytes() == Path("whole.h5").read_bytes()
    assert run("merge", "one.h5", "one.h5").exit_code == 0  # the same fingerprint
    before = Path("one.h5").read_bytes()
    for inputs, remedy in (
        (("./one.h5", "two.h5"), "OUT, which comes first, is also an input and is not overwritten: choose another"),
        (("two.h5",), "OUT, which comes first, is not overwritten: choose another"),  # OUT was forgotten
    ):
        message = error(run("merge", "one.h5", *inputs))
        assert message.startswith("Error: one.h5: made with ") and message.endswith(f"; {remedy}")
        assert "delete" not in message and Path("one.h5").read_bytes() == before
    assert "write it as PREFIX=FILE" in error(run("merge", "x.h5", "one.h5", "../e=two.h5"))
    assert not Path("x.h5").exists()
    error(run("merge", "x.h5"), code=2)


def test_merge_takes_prefixes_and_a_data_set(run: Run, make_parts: MakeParts) -> None:
    write_parts(Path("e.h5"), detected(make_parts(3, 2), "east"))
    write_parts(Path("w.h5"), detected(make_parts(3, 2, seed=1), "west"))
    assert "choose --dataset" in error(run("merge", "all.h5", "east=e.h5", "west=w.h5"))
    result = run("merge", "all.h5", "east=e.h5", "west=w.h5", "--dataset", "lists/both.csv", "--json")
    assert json.loads(result.stdout)["images"] == 6
    merged = read_parts(Path("all.h5"))
    assert merged.names[0] == "east/images/ü 0000.jpg" and merged.fingerprint["dataset"] == "both"
    assert run("verify", "all.h5").exit_code == 0


def test_export_and_import_round_trip(run: Run, make_parts: MakeParts) -> None:
    parts = make_parts(20, 3)
    write_parts(Path("parts.h5"), parts)
    result = run("export", "parts.h5", "--output", "new/coco.json", "--format", "coco")
    assert result.stdout == f"new/coco.json: {(parts.labels >= 0).sum()} boxes in 19 images\n"
    assert result.stderr == "1 failed images are left out\n"
    assert run("export", "parts.h5", "--output", "results.json").exit_code == 0
    for number, source in enumerate(
        (["--coco", "new/coco.json"], ["--coco-results", "results.json", "--images-from", "new/coco.json"])
    ):
        result = run("import", *source, "--output", f"{number}.h5", "--top-k", "3", "--json")
        assert json.loads(result.stdout)["images"] == 19
        found = read_parts(Path(f"{number}.h5"))
        assert np.array_equal(found.boxes, parts.boxes[1:]) and np.array_equal(found.scores, parts.scores[1:])
        assert run("verify", f"{number}.h5").exit_code == 0


def test_export_overwrites_neither_a_part_cache_nor_the_annotations(run: Run, make_parts: MakeParts) -> None:
    cache, annotations = Path("p.h5"), Path("a.json")
    write_parts(cache, make_parts())
    before = cache.read_bytes()
    assert "p.h5: is a part cache, which is not overwritten" in error(run("export", "p.h5", "--output", "p.h5"))
    assert cache.read_bytes() == before
    annotations.write_text("{}")
    result = run("export", "p.h5", "--annotations", "a.json", "--output", "a.json")
    assert result.exit_code == 2 and "is the file of --annotations" in result.output
    assert annotations.read_text() == "{}"


def test_failed_export_keeps_the_old_file(run: Run, make_parts: MakeParts) -> None:
    Path("out.json").write_text("old")
    assert "absent.h5: no such part cache" in error(run("export", "absent.h5", "--output", "out.json"))
    write_parts(Path("parts.h5"), make_parts())
    assert "gt.json: no such file" in error(
        run("export", "parts.h5", "--output", "out.json", "--annotations", "gt.json")
    )
    assert Path("out.json").read_text() == "old"
    csv = ["--format", "csv", "--annotations", "gt.json"]
    assert "csv does not have" in error(run("export", "parts.h5", "--output", "out.json", *csv), code=2)
    summary = json.loads(run("export", "parts.h5", "--output", "out.csv", "--format", "csv", "--json").stdout)
    assert summary == {"output": "out.csv", "images": 6, "boxes": 7, "notes": []}


@pytest.mark.usefixtures("pictures")
def test_import_writes_where_training_reads(run: Run) -> None:
    Path("coco.json").write_text(json.dumps(coco(NAMES)))
    result = run("import", "--coco", "coco.json", "--dataset", "folder", "--runs", "r")
    assert result.stdout == "r/folder/parts.h5: 4 images, 1 boxes, 3 empty, 0 failed\n"
    assert run("verify", "r/folder/parts.h5", "--dataset", "folder").exit_code == 0
    masks = Path("masks")
    masks.mkdir()
    for name in NAMES[:3]:
        np.save((masks / name).with_suffix(".npy"), np.ones((2, 14, 14), np.float32))
    refused = error(run("import", "--masks", "masks", "--dataset", "folder", "--runs", "r"))
    assert "r/folder/parts.h5: made with" in refused and "--output" in refused
    result = run("import", "--masks", "masks", "--dataset", "folder", "--output", "m.h5")
    assert "4 images, 6 boxes, 0 empty, 1 failed, first d.jpg (masks/d.npy: cannot be read" in result.stdout
    assert run("import", "--masks", "masks", "--images", "data", "--output", "m2.h5").exit_code == 0
    assert np.array_equal(read_parts(Path("m.h5")).boxes, read_parts(Path("m2.h5")).boxes)


def test_failed_import_writes_nothing(run: Run) -> None:
    wrong = coco(NAMES) | {"annotations": [{"image_id": 77}, 5]}
    Path("coco.json").write_text(json.dumps(wrong))
    line = error(run("import", "--coco", "coco.json", "--output", "parts.h5"))
    assert line.startswith("Error: coco.json: 2 faults: annotations[0]: ")
    assert [path.name for path in Path().iterdir()] == ["coco.json"]


@pytest.mark.parametrize(
    "words",
    [
        ["--output", "p.h5"],
        ["--coco", "c.json"],
        ["--coco", "c.json", "--masks", "m", "--output", "p.h5"],
        ["--coco-results", "c.json", "--output", "p.h5"],
        ["--images-from", "c.json", "--output", "p.h5"],
        ["--coco", "c.json", "--images-from", "c.json", "--output", "p.h5"],
        ["--coco", "c.json", "--images", "m", "--output", "p.h5"],
        ["--masks", "m", "--output", "p.h5"],
        ["--masks", "m", "--images", "m"],
        ["--masks", "m", "--images", "m", "--dataset", "folder"],
        ["--coco", "c.json", "--output", "p.h5", "--top-k", "0"],
    ],
)
def test_import_needs_exactly_one_source(run: Run, words: list[str]) -> None:
    error(run("import", *words), code=2)
