"""`ablate` as typed: it trains each run once, goes on after a stop, writes the tables, and tells every mistake."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli import main
from data_cache.base.errors import UserError
from data_cache.base.files import read_json
from helpers.places.reid import Place, assert_error
from helpers.toy.ablation import BASELINE, GRID, ONE, PGAN, SETTING, TABLE, WITHOUT_PAM, folder_of, written
from helpers.toy.vehicles import Toy, assert_same_run, train_toy
from reid.ablation import running
from reid.ablation.boxes import random_boxes, shifted_boxes
from reid.data.decoded import decoded_path
from reid.model.checkpoint import read_checkpoint
from reid.runs import BEST
from reid.training import loop

pytestmark = pytest.mark.usefixtures("tiny", "no_pictures")
TABLE_3 = [BASELINE, GRID, WITHOUT_PAM, PGAN]


def runs(place: Place) -> set[str]:
    return {path.name for path in folder_of(place).iterdir() if path.is_dir()}


def scores(place: Place) -> dict[str, Any]:
    files = folder_of(place).glob("*/*/metrics.json")
    return {path.parts[-3]: read_json(path)["scores"]["trained"] for path in files}


def stopping(at: int, stop: Callable[[], None], function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, but for `stop` before its call of that number."""
    calls = []

    def wrapper(*arguments: Any, **options: Any) -> Any:
        calls.append(None)
        if len(calls) == at:
            stop()
        return function(*arguments, **options)

    return wrapper


def test_every_row_is_trained_evaluated_and_told(place: Place) -> None:
    result = place("ablate", "--table", "3", *ONE)
    assert result.exit_code == 0, result.output
    assert runs(place) == {f"{name}-seed0" for name in TABLE_3}
    told = [line for line in result.stderr.splitlines() if line.startswith("run ")]
    assert told == [f"run {number} of 4: {name}, seed 0" for number, name in enumerate(TABLE_3, start=1)]
    assert "PGAN without PAM" in result.stdout and "not run yet" not in result.stdout
    assert (folder_of(place) / TABLE).read_text() in result.stdout
    assert {path.name for path in folder_of(place).glob("table*")} == {
        Path(TABLE).with_suffix(end).name for end in (".md", ".csv", ".png")
    }


def test_a_run_is_what_train_would_have_made_of_its_recipe_and_boxes(place: Place, toy: Toy, tmp_path: Path) -> None:
    assert place("ablate", "--table", "oracle", *ONE).exit_code == 0
    boxes = {
        "": toy.parts,
        "_boxes=random": random_boxes(toy.parts, seed=0),
        "_boxes=shifted": shifted_boxes(toy.parts),
    }
    for name, parts in boxes.items():
        run = folder_of(place) / f"{PGAN}{name}-seed0"
        recipe = read_checkpoint(run / BEST).recipe
        train_toy(recipe, toy._replace(parts=parts), tmp_path / f"alone{name}")
        assert_same_run(run, tmp_path / f"alone{name}")
    table = (folder_of(place) / f"table-oracle{SETTING}.md").read_text()
    assert "parts_train.json" in table  # why there is no row for the truth


def test_truth_is_a_row_where_the_renderers_files_lie(place: Place, toy: Toy, tmp_path: Path) -> None:
    root = Path(shutil.copytree(toy.dataset.root, tmp_path / "with_truth"))
    for file, train in (("parts_train.json", True), ("parts_test.json", False)):
        (root / file).write_text(json.dumps(coco_of(toy, train)))
    result = place("ablate", "--table", "oracle", *ONE, "--data-root", str(root))
    assert result.exit_code == 0 and "boxes of the ground truth" in result.stdout
    checkpoint = read_checkpoint(folder_of(place) / f"{PGAN}_boxes=truth-seed0" / BEST)
    assert checkpoint.metadata["parts"]["control"] == {"boxes": "truth"}


def coco_of(toy: Toy, train: bool) -> dict[str, Any]:
    """Return the boxes of the toy's cache as the renderer would write them."""
    split = dict(zip(toy.dataset.table["name"], toy.dataset.table["split"], strict=True))
    images, annotations = [], []
    for row, name in enumerate(toy.parts.names):
        if (split[name] == "train") != train:
            continue
        width, height = toy.parts.image_size[row].tolist()
        images.append({"id": row, "file_name": name, "width": width, "height": height})
        for box, label in zip(toy.parts.boxes[row].tolist(), toy.parts.labels[row].tolist(), strict=True):
            if label >= 0:
                x, y, right, bottom = box
                record = {"image_id": row, "category_id": label, "bbox": [x, y, right - x, bottom - y]}
                annotations.append({"id": len(annotations), **record})
    categories = [{"id": number, "name": name} for number, name in enumerate(toy.parts.part_names)]
    return {"images": images, "annotations": annotations, "categories": categories}


def test_what_is_finished_is_not_done_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place("ablate", "--table", "3", *ONE)
    before, table = written(place), (folder_of(place) / TABLE).read_text()
    for name in ("train", "evaluate"):
        monkeypatch.setattr(running, name, stopping(1, lambda: pytest.fail("a finished run is done again"), print))
    result = place("ablate", "--table", "3", *ONE)
    assert result.exit_code == 0 and result.stderr.count(", finished") == 4
    assert written(place) == before
    assert (folder_of(place) / TABLE).read_text() == table


def test_a_table_with_other_boxes_is_another_table_of_which_runs_without_boxes_are_the_same(place: Place) -> None:
    place("ablate", "--table", "3", *ONE)
    before, table = written(place), (folder_of(place) / TABLE).read_text()
    result = place("ablate", "--table", "3", *ONE, "--boxes", "random")
    assert result.exit_code == 0 and result.stderr.count(", finished") == 2
    assert runs(place) == {f"{name}-seed0" for name in TABLE_3} | {
        f"{name}_boxes=random-seed0" for name in (WITHOUT_PAM, PGAN)
    }
    assert before.items() <= written(place).items() and (folder_of(place) / TABLE).read_text() == table
    told = (folder_of(place) / f"table-3-random{SETTING}.md").read_text()
    assert told.startswith("# Table 3: the paper's own rows; boxes at random") and "--boxes random" in told


def test_tables_share_their_runs(place: Place) -> None:
    place("ablate", "--table", "3", *ONE)
    before = written(place)
    result = place("ablate", "--table", "1", "--table", "3", *ONE)
    assert result.exit_code == 0 and f"run 1 of 7: {BASELINE}, seed 0, finished" in result.stderr
    losses = {f"{PGAN}_triplets={name}-seed0" for name in ("fusion", "fusion,global", "fusion,part")}
    assert runs(place) == {f"{name}-seed0" for name in TABLE_3} | losses
    assert before.items() <= written(place).items()


@pytest.mark.parametrize("stage", ["training", "evaluation"])
def test_a_stopped_ablation_goes_on_where_it_was(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    options = (*ONE, "--set", "epochs=2")

    def stop() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if stage == "training":  # an epoch has four batches: in the second epoch of the second run
            patch.setattr(loop, "training_step", stopping(14, stop, loop.training_step))
        else:
            patch.setattr(running, "evaluate", stopping(2, stop, running.evaluate))
        result = place("ablate", "--table", "3", *options)
    assert result.exit_code == 1 and "Aborted" in result.output
    before = written(place)
    assert runs(place) == {f"{BASELINE}-seed0", f"{GRID}-seed0"} and len(scores(place)) == 1
    assert "not run yet" in (folder_of(place) / TABLE).read_text()
    listed = place("ablate", "--table", "3", *options, "--dry-run").stdout.splitlines()
    assert listed[0].endswith(f"{BASELINE}, seed 0: finished")
    assert listed[1].endswith("after epoch 1 of 2, 32 images" if stage == "training" else "trained, to be evaluated")
    assert place("ablate", "--table", "3", *options).exit_code == 0
    kept = {name for name in before if name.startswith("baseline")}
    assert kept and {name: written(place)[name] for name in kept} == {name: before[name] for name in kept}
    whole = Place(place.toy, tmp_path / "undisturbed")
    assert whole("ablate", "--table", "3", *options).exit_code == 0
    assert scores(whole) == scores(place)
    assert_same_run(folder_of(place) / f"{GRID}-seed0", folder_of(whole) / f"{GRID}-seed0")


def test_sigterm_names_the_run_and_what_to_do(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    kill = stopping(6, lambda: os.kill(os.getpid(), signal.SIGTERM), loop.training_step)
    monkeypatch.setattr(loop, "training_step", kill)
    before = signal.getsignal(signal.SIGTERM)
    result = place("ablate", "--table", "3", *ONE)
    assert_error(result, 1, f"run 2 of 4: {GRID}, seed 0", "SIGTERM", "run it again to go on")
    assert signal.getsignal(signal.SIGTERM) is before
    assert not list(folder_of(place).rglob(".lock")) and not list(folder_of(place).rglob("*.tmp"))


def test_a_run_that_fails_stops_the_rest_and_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise UserError("the loss is nan in epoch 1")

    monkeypatch.setattr(loop, "training_step", stopping(6, fail, loop.training_step))
    result = place("ablate", "--table", "3", *ONE)
    assert_error(result, 1, f"run 2 of 4: {GRID}, seed 0: the loss is nan in epoch 1")
    assert len(scores(place)) == 1


def test_a_dry_run_lists_and_does_nothing(place: Place) -> None:
    result = place("ablate", "--table", "1", *ONE, "--seeds", "2", "--dry-run")
    assert result.exit_code == 0 and not folder_of(place).exists()
    lines = result.stdout.splitlines()
    assert lines[0].strip() == f"1 folder: {BASELINE}, seed 0: 32 images"
    assert lines[-1] == "10 runs, 0 finished; 320 images to train on"
    listed = json.loads(place("ablate", "--table", "1", *ONE, "--dry-run", "--json").stdout)
    assert [run["run"] for run in listed][-1] == PGAN and {run["images_to_see"] for run in listed} == {32}


def test_json_is_the_table(place: Place) -> None:
    found = json.loads(place("ablate", "--table", "3", *ONE, "--json").stdout)
    lines = found["folder"][Path(TABLE).stem]["lines"]
    assert [line["run"] for line in lines] == TABLE_3
    trained = scores(place)[f"{PGAN}-seed0"]
    assert lines[3]["scores"]["mAP"] == {"mean": pytest.approx(100 * trained["mAP"]), "deviation": None, "count": 1}


def test_the_command_in_the_table_can_be_repeated(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VEHICLE_DATA", str(place.toy.dataset.root))
    where = ["--dataset", "folder", "--runs", str(place.runs), "--device", "cpu", "--workers", "0"]
    result = CliRunner().invoke(main, ["ablate", "--table", "3", *where, *ONE, "--decoded-cache"])
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("- Command: ")]
    assert f"--data-root {place.toy.dataset.root}" in line and "--set epochs=1" in line and "--decoded-cache" in line
    assert decoded_path(place.runs, "folder", 64).exists()
    words = line.removeprefix("- Command: `python cli.py ").removesuffix("`").split()
    again = CliRunner().invoke(main, words)
    assert again.exit_code == 0 and again.stderr.count(", finished") == 4


def test_table_3_takes_every_data_set_with_a_part_cache(place: Place, tmp_path: Path) -> None:
    """Without --dataset. The toy passes for the synthetic set: its reader asks for images.csv and the finished mark."""
    data = tmp_path / "data"
    shutil.copytree(place.toy.dataset.root, data / "synthetic")
    (data / "synthetic" / "synthetic.json").write_text("{}")
    where = ["--data-root", str(data), "--runs", str(place.runs), "--device", "cpu", "--workers", "0"]
    options = ["ablate", "--table", "3", *where, *ONE]
    result = CliRunner().invoke(main, options)
    assert_error(result, 1, "no data set below", "with a part cache")
    assert "left out: data set veri is not there" in result.stderr
    assert "left out: synthetic: no part cache" in result.stderr and "cli.py detect" in result.stderr
    (place.runs / "synthetic").mkdir()
    shutil.copy(place.runs / "folder" / "parts.h5", place.runs / "synthetic" / "parts.h5")
    result = CliRunner().invoke(main, options)
    assert result.exit_code == 0, result.output
    assert (place.runs / "synthetic" / "ablation" / TABLE).exists()
    assert_error(CliRunner().invoke(main, [*options, "--parts", "parts.h5"]), 1, "--parts", "--dataset")
