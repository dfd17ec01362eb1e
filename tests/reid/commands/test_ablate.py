"""The command `ablate`: it trains each run once, resumes, writes the tables, and names a run that fails."""

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
from data_cache.parts.export import export_boxes
from helpers.parts import sliced
from helpers.places.reid import Place, assert_error
from helpers.toy.ablation import (
    BASELINE,
    GRID,
    ONE_EPOCH,
    PGAN,
    SETTING,
    TABLE,
    WITHOUT_PAM,
    ablation_folder_of,
    write_times,
)
from helpers.toy.vehicles import Toy, assert_same_run, train_toy
from reid.ablation import ablation
from reid.ablation.boxes import TRUTH_FILES, random_boxes, shifted_boxes
from reid.data.hiding import network_parts
from reid.model.checkpoint import read_checkpoint
from reid.runs import BEST, decoded_path
from reid.training import loop

pytestmark = pytest.mark.usefixtures("tiny", "no_pictures")
TABLE_3 = [BASELINE, GRID, WITHOUT_PAM, PGAN]


def run_names(place: Place) -> set[str]:
    return {path.name for path in ablation_folder_of(place).iterdir() if path.is_dir()}


def scores(place: Place) -> dict[str, Any]:
    files = ablation_folder_of(place).glob("*/*/metrics.json")
    return {path.parts[-3]: read_json(path)["scores"]["trained"] for path in files}


def calling_before(call: int, interrupt: Callable[[], None], function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, with `interrupt` called before the given call of it."""
    calls = []

    def wrapper(*arguments: Any, **options: Any) -> Any:
        calls.append(None)
        if len(calls) == call:
            interrupt()
        return function(*arguments, **options)

    return wrapper


def test_every_row_is_trained_and_evaluated(place: Place) -> None:
    result = place("ablate", "--table", "3", *ONE_EPOCH)
    assert result.exit_code == 0, result.output
    assert run_names(place) == {f"{name}-seed0" for name in TABLE_3}
    messages = [line for line in result.stderr.splitlines() if line.startswith("run ")]
    assert messages == [f"run {number} of 4: {name}, seed 0" for number, name in enumerate(TABLE_3, start=1)]
    assert "PGAN without PAM" in result.stdout and "not run yet" not in result.stdout
    assert (ablation_folder_of(place) / TABLE).read_text() in result.stdout
    assert {path.name for path in ablation_folder_of(place).glob("table*")} == {
        Path(TABLE).with_suffix(end).name for end in (".md", ".csv", ".png")
    }


def test_a_run_equals_training_with_its_recipe_and_boxes(place: Place, toy: Toy, tmp_path: Path) -> None:
    assert place("ablate", "--table", "oracle", *ONE_EPOCH).exit_code == 0
    boxes = {
        "": toy.parts,
        "_boxes=random": random_boxes(toy.parts, seed=0),
        "_boxes=shifted": shifted_boxes(toy.parts),
    }
    for name, parts in boxes.items():
        run = ablation_folder_of(place) / f"{PGAN}{name}-seed0"
        recipe = read_checkpoint(run / BEST).recipe
        train_toy(recipe, toy._replace(parts=parts), tmp_path / f"trained{name}")
        assert_same_run(run, tmp_path / f"trained{name}")
    table = (ablation_folder_of(place) / f"table-oracle{SETTING}.md").read_text()
    assert "No rows on true boxes" in table and "parts_train.json" in table


@pytest.mark.parametrize("options", [(), ("--decoded-cache",)])
def test_a_run_of_pgan_plus_equals_training_on_the_boxes_that_it_reads(
    place: Place, toy: Toy, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """The controls change the boxes that PGAN+ chooses from the part cache."""
    result = place("ablate", "--table", "plus", *ONE_EPOCH, *options)
    assert result.exit_code == 0 and "not run yet" not in result.stdout, result.output
    plus = PGAN.replace("pgan", "pgan_plus")
    control = f"{plus}_boxes=random-seed0"
    others = (PGAN, plus, f"{plus}_boxes=shifted", PGAN.replace("pgan", "strong"))
    assert run_names(place) == {f"{name}-seed0" for name in (BASELINE, *others)} | {control}
    assert decoded_path(place.runs, "folder", 64).exists() == bool(options)
    recipe = read_checkpoint(ablation_folder_of(place) / control / BEST).recipe
    assert recipe.part_crops and recipe.box_choice.first == "varying"
    boxes = random_boxes(network_parts(toy.parts, recipe), seed=0)
    train_toy(recipe, toy._replace(parts=boxes), tmp_path / "trained")
    assert_same_run(ablation_folder_of(place) / control, tmp_path / "trained")


def test_true_boxes_have_a_row_if_the_data_set_has_their_files(place: Place, toy: Toy, tmp_path: Path) -> None:
    root = Path(shutil.copytree(toy.dataset.root, tmp_path / "with_truth"))
    for file, rows in zip(TRUTH_FILES, (slice(0, 32), slice(32, None)), strict=True):
        (root / file).write_bytes(export_boxes(sliced(toy.parts, rows), "coco").content)
    result = place("ablate", "--table", "oracle", *ONE_EPOCH, "--data-root", str(root))
    assert result.exit_code == 0 and "boxes of the ground truth" in result.stdout
    checkpoint = read_checkpoint(ablation_folder_of(place) / f"{PGAN}_boxes=truth-seed0" / BEST)
    assert checkpoint.metadata["parts"]["control"] == {"boxes": "truth"}


def test_finished_runs_are_kept(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place("ablate", "--table", "3", *ONE_EPOCH)
    before, table = write_times(place), (ablation_folder_of(place) / TABLE).read_text()
    for name in ("train", "evaluate_run"):
        monkeypatch.setattr(ablation, name, lambda *_, **__: pytest.fail("a finished run is repeated"))
    result = place("ablate", "--table", "3", *ONE_EPOCH)
    assert result.exit_code == 0 and result.stderr.count(", finished") == 4
    assert write_times(place) == before
    assert (ablation_folder_of(place) / TABLE).read_text() == table


def test_runs_whose_last_checkpoints_clean_removed_are_finished(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    two = ["epochs=2" if word == "epochs=1" else word for word in ONE_EPOCH]
    place("ablate", "--table", "3", *two)
    table = (ablation_folder_of(place) / TABLE).read_text()
    assert CliRunner().invoke(main, ["clean", "--runs", str(place.runs), "--yes"]).exit_code == 0
    assert not [*ablation_folder_of(place).glob("*/last.safetensors")]
    monkeypatch.setattr(ablation, "train", lambda *_, **__: pytest.fail("a finished run is repeated"))
    result = place("ablate", "--table", "3", *two)
    assert result.exit_code == 0 and result.stderr.count(", finished") == 4, result.output
    assert (ablation_folder_of(place) / TABLE).read_text() == table


def test_other_boxes_give_another_table_that_shares_the_runs_without_boxes(place: Place) -> None:
    place("ablate", "--table", "3", *ONE_EPOCH)
    before, table = write_times(place), (ablation_folder_of(place) / TABLE).read_text()
    result = place("ablate", "--table", "3", *ONE_EPOCH, "--boxes", "random")
    assert result.exit_code == 0 and result.stderr.count(", finished") == 2
    assert run_names(place) == {f"{name}-seed0" for name in TABLE_3} | {
        f"{name}_boxes=random-seed0" for name in (WITHOUT_PAM, PGAN)
    }
    assert before.items() <= write_times(place).items() and (ablation_folder_of(place) / TABLE).read_text() == table
    other = (ablation_folder_of(place) / f"table-3-random{SETTING}.md").read_text()
    assert other.startswith("# Table 3: the paper's own rows; boxes at random") and "--boxes random" in other


def test_tables_share_their_runs(place: Place) -> None:
    place("ablate", "--table", "3", *ONE_EPOCH)
    before = write_times(place)
    result = place("ablate", "--table", "1", "--table", "3", *ONE_EPOCH)
    assert result.exit_code == 0 and f"run 1 of 7: {BASELINE}, seed 0, finished" in result.stderr
    losses = {f"{PGAN}_triplets={name}-seed0" for name in ("fusion", "fusion,global", "fusion,part")}
    assert run_names(place) == {f"{name}-seed0" for name in TABLE_3} | losses
    assert before.items() <= write_times(place).items()


@pytest.mark.parametrize("stage", ["training", "evaluation"])
def test_an_interrupted_ablation_resumes(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    options = (*ONE_EPOCH, "--set", "epochs=2")

    def interrupt() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if stage == "training":  # an epoch has four batches: the second epoch of the second run
            patch.setattr(loop, "training_step", calling_before(14, interrupt, loop.training_step))
        else:
            patch.setattr(ablation, "evaluate_run", calling_before(2, interrupt, ablation.evaluate_run))
        result = place("ablate", "--table", "3", *options)
    assert result.exit_code == 1 and "Aborted" in result.output
    before = write_times(place)
    assert run_names(place) == {f"{BASELINE}-seed0", f"{GRID}-seed0"} and len(scores(place)) == 1
    assert "not run yet" in (ablation_folder_of(place) / TABLE).read_text()
    listed = place("ablate", "--table", "3", *options, "--dry-run").stdout.splitlines()
    assert listed[0].endswith(f"{BASELINE}, seed 0: finished")
    assert listed[1].endswith("after epoch 1 of 2, 32 images" if stage == "training" else "trained, not evaluated")
    assert place("ablate", "--table", "3", *options).exit_code == 0
    kept = {name for name in before if name.startswith("baseline")}
    assert kept and {name: write_times(place)[name] for name in kept} == {name: before[name] for name in kept}
    whole = Place(place.toy, tmp_path / "undisturbed")
    assert whole("ablate", "--table", "3", *options).exit_code == 0
    assert scores(whole) == scores(place)
    assert_same_run(ablation_folder_of(place) / f"{GRID}-seed0", ablation_folder_of(whole) / f"{GRID}-seed0")


def test_sigterm_stops_the_ablation_without_leftovers(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    kill = calling_before(6, lambda: os.kill(os.getpid(), signal.SIGTERM), loop.training_step)
    monkeypatch.setattr(loop, "training_step", kill)
    before = signal.getsignal(signal.SIGTERM)
    result = place("ablate", "--table", "3", *ONE_EPOCH)
    assert_error(result, 1, "SIGTERM", "run it again to resume")
    assert f"run 2 of 4: {GRID}, seed 0" in result.stderr
    assert signal.getsignal(signal.SIGTERM) is before
    assert not list(ablation_folder_of(place).rglob(".lock")) and not list(ablation_folder_of(place).rglob("*.tmp"))


def test_a_failing_run_is_named_and_stops_the_rest(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise UserError("the loss is nan in epoch 1")

    monkeypatch.setattr(loop, "training_step", calling_before(6, fail, loop.training_step))
    result = place("ablate", "--table", "3", *ONE_EPOCH)
    assert_error(result, 1, f"run 2 of 4: {GRID}, seed 0: the loss is nan in epoch 1")
    assert len(scores(place)) == 1


def test_a_dry_run_only_lists(place: Place) -> None:
    result = place("ablate", "--table", "1", *ONE_EPOCH, "--seeds", "2", "--dry-run")
    assert result.exit_code == 0 and not ablation_folder_of(place).exists()
    lines = result.stdout.splitlines()
    assert lines[0].strip() == f"1 folder: {BASELINE}, seed 0: 32 images"
    assert lines[-1] == "10 runs, 0 finished; 320 images to train on"
    listed = json.loads(place("ablate", "--table", "1", *ONE_EPOCH, "--dry-run", "--json").stdout)
    assert [run["run"] for run in listed][-1] == PGAN and {run["images_to_see"] for run in listed} == {32}


def test_json_contains_the_table(place: Place) -> None:
    found = json.loads(place("ablate", "--table", "3", *ONE_EPOCH, "--json").stdout)
    lines = found["folder"][Path(TABLE).stem]["lines"]
    assert [line["run"] for line in lines] == TABLE_3
    trained = scores(place)[f"{PGAN}-seed0"]
    assert lines[3]["scores"]["mAP"] == {"mean": pytest.approx(100 * trained["mAP"]), "deviation": None, "count": 1}


def test_the_command_in_the_table_can_be_repeated(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VEHICLE_DATA", str(place.toy.dataset.root))
    where = ["--dataset", "folder", "--runs", str(place.runs), "--device", "cpu", "--workers", "0"]
    result = CliRunner().invoke(main, ["ablate", "--table", "3", *where, *ONE_EPOCH, "--decoded-cache"])
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("- Command: ")]
    assert f"--data-root {place.toy.dataset.root}" in line and "--set epochs=1" in line and "--decoded-cache" in line
    assert decoded_path(place.runs, "folder", 64).exists()
    words = line.removeprefix("- Command: `python cli.py ").removesuffix("`").split()
    again = CliRunner().invoke(main, words)
    assert again.exit_code == 0 and again.stderr.count(", finished") == 4


def test_table_3_without_dataset_uses_every_data_set_with_a_part_cache(place: Place, tmp_path: Path) -> None:
    """The toy set stands in for the synthetic one, whose reader needs only images.csv and synthetic.json."""
    data = tmp_path / "data"
    shutil.copytree(place.toy.dataset.root, data / "synthetic")
    (data / "synthetic" / "synthetic.json").write_text("{}")
    where = ["--data-root", str(data), "--runs", str(place.runs), "--device", "cpu", "--workers", "0"]
    options = ["ablate", "--table", "3", *where, *ONE_EPOCH]
    result = CliRunner().invoke(main, options)
    assert_error(result, 1, "no data set in", "has a part cache")
    assert "skipped: data set veri not found" in result.stderr
    assert "skipped: synthetic: no part cache" in result.stderr and "cli.py detect" in result.stderr
    (place.runs / "synthetic").mkdir()
    shutil.copy(place.runs / "folder" / "parts.h5", place.runs / "synthetic" / "parts.h5")
    result = CliRunner().invoke(main, options)
    assert result.exit_code == 0, result.output
    assert (place.runs / "synthetic" / "ablation" / TABLE).exists()
    assert_error(CliRunner().invoke(main, [*options, "--parts", "parts.h5"]), 1, "--parts", "--dataset")
