"""`train` and `evaluate` as typed: output, files, and one line for every mistake."""

import json
from pathlib import Path

import pytest
import yaml

from data_cache.base.files import read_json
from helpers.places.reid import ONE_EPOCH, Place, assert_error
from helpers.toy.vehicles import TINY, one_thread, toy_set
from reid.model.checkpoint import read_checkpoint
from reid.runs import BEST, LAST
from reid.training.log import CURVES, LOG


def test_train_and_evaluate_with_a_real_backbone(place: Place) -> None:
    """ResNet-18 at 64 pixels instead of the tiny backbone."""
    with one_thread():
        best = place.train("--recipe", "pgan_small")
        result = place("evaluate", "--recipe", "pgan_small", "--untrained", "--json")
    run = place.runs / "folder" / "pgan_small"
    assert best == run / BEST
    assert {path.name for path in run.iterdir()} == {
        BEST,
        LAST,
        LOG,
        CURVES,
        "recipe.json",
        "command.json",
        "train.log",
        "test",
    }
    assert read_checkpoint(best).recipe == TINY.model_copy(update={"epochs": 1, "schedule": "cosine"})
    assert result.exit_code == 0, result.output
    metrics = json.loads(result.stdout)
    assert metrics == read_json(run / "test" / "metrics.json")
    assert list(metrics["scores"]) == ["trained", "untrained", "trunk"]
    assert all(0 <= row[name] <= 1 for row in metrics["scores"].values() for name in ("mAP", "cmc1", "mINP"))


@pytest.mark.usefixtures("tiny")
def test_evaluate_prints_a_table_of_the_newest_run(place: Place) -> None:
    place.train("--recipe", "pgan_small")
    place.train("--recipe", "grid_small", "--set", "attention=grid")
    result = place("evaluate")
    assert result.exit_code == 0, result.output
    assert "mAP" in result.stdout and "trained" in result.stdout and "4 queries" in result.stdout
    assert (place.runs / "folder" / "grid_small" / "test" / "metrics.json").exists()
    assert not (place.runs / "folder" / "pgan_small" / "test").exists()


@pytest.mark.usefixtures("tiny")
def test_finished_training_is_not_repeated(place: Place) -> None:
    best = place.train("--recipe", "pgan_small")
    before = best.read_bytes()
    result = place("train", *ONE_EPOCH, "--recipe", "pgan_small")
    assert result.exit_code == 0 and "already trained, 1 epochs" in result.stderr
    assert best.read_bytes() == before


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("setting", ["attention=none", "attention=grid", "parts=0"])
def test_network_without_parts_needs_no_part_cache(place: Place, setting: str) -> None:
    (place.runs / "folder" / "parts.h5").unlink()
    place.train("--recipe", "pgan_small", "--set", setting)
    assert place("evaluate", "--recipe", "pgan_small").exit_code == 0


@pytest.mark.usefixtures("tiny")
def test_part_cache_may_be_elsewhere(place: Place, tmp_path: Path) -> None:
    elsewhere = (place.runs / "folder" / "parts.h5").rename(tmp_path / "mine.h5")
    place.train("--recipe", "pgan_small", "--parts", str(elsewhere))
    assert place("evaluate", "--parts", str(elsewhere)).exit_code == 0


@pytest.mark.usefixtures("tiny")
def test_run_is_named_after_its_recipe_file(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(TINY.model_dump(mode="json") | {"epochs": 1, "seed": 5}))
    result = place("train", "--recipe", str(path))
    assert result.exit_code == 0, result.output
    assert Path(result.stdout.strip()) == place.runs / "folder" / "mine" / BEST
    assert read_checkpoint(Path(result.stdout.strip())).recipe.seed == 5
    assert place("evaluate", "--recipe", str(path)).exit_code == 0


def test_a_recipe_file_that_cannot_name_a_run_needs_a_name(place: Place, tmp_path: Path) -> None:
    """The folder RUNS/DATASET/ablation is the ablation's."""
    path = tmp_path / "ablation.yaml"
    path.write_text("epochs: 1")
    assert_error(place("train", "--recipe", str(path)), 2, "ablation cannot name a run; give it another name by --name")


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("options", "seed"), [((), 0), (("--seed", "7"), 7), (("--set", "seed=4"), 4), (("--seed", "0"), 0)]
)
def test_given_seed_is_used(place: Place, options: tuple[str, ...], seed: int) -> None:
    assert read_checkpoint(place.train("--recipe", "pgan_small", *options)).recipe.seed == seed


@pytest.mark.usefixtures("tiny")
def test_other_recipe_under_the_same_name_is_refused(place: Place) -> None:
    place.train("--recipe", "pgan_small")
    result = place("train", *ONE_EPOCH, "--recipe", "pgan_small", "--set", "margin=0.7")
    assert_error(result, 1, "last.safetensors", "made with recipe.margin = 0.3, this run needs 0.7", "--name")


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--recipe", "pgan_smal"], ["unknown recipe pgan_smal; did you mean pgan_small?"]),
        (["--set", "lamda=1"], ["unknown option lamda"]),
        (["--set", "image_sise=64"], ["unknown option image_sise; did you mean image_size?"]),
        (["--set", "epochs"], ["write it as key=value"]),
        (["--set", "epochs=-1"], ["epochs", "-1"]),
        (["--recipe", "absent.yaml"], ["absent.yaml", "cannot be read"]),
        (["--set", "parts=4"], ["the part cache holds 3", "lower parts"]),
        (["--set", "vehicles_per_batch=9"], ["the training set has 8", "lower vehicles_per_batch"]),
        (["--set", "trunk_weights=absent.pth", "--set", "trunk=resnet34"], ["absent.pth: no such file"]),
        (["--parts", "absent.h5"], ["absent.h5: no such part cache", "cli.py detect"]),
        (["--set", "holdout=0.1"], ["holdout"]),
        (["--dataset", "veri"], ["data set veri not found", "DATASET=synthetic"]),
        (["--dataset", "verri"], ["unknown data set verri; did you mean veri?"]),
        (["--dataset", "absent.csv"], ["absent.csv: no such file"]),
    ],
)
def test_mistake_in_training_is_one_line(place: Place, options: list[str], words: list[str]) -> None:
    assert_error(place("train", *ONE_EPOCH, "--set", "seed=0", "--recipe", "pgan_small", *options), 1, *words)


@pytest.mark.usefixtures("tiny")
def test_mistake_in_evaluation_is_one_line(place: Place) -> None:
    assert_error(place("evaluate"), 1, "no trained network", "cli.py train --dataset folder")
    assert_error(
        place("evaluate", "--recipe", "grid_small"), 1, "grid_small", "no trained network there", "folder: none"
    )
    best = place.train("--recipe", "pgan_small")
    assert_error(place("evaluate", "--split", "large"), 1, "unknown split of folder large")
    (place.runs / "folder" / "parts.h5").write_bytes(b"no cache")
    assert_error(place("evaluate"), 1, "parts.h5: not a part cache")
    best.write_bytes(best.read_bytes()[:-10])
    assert_error(place("evaluate"), 1, "best.safetensors: damaged")


@pytest.mark.usefixtures("tiny")
def test_damaged_image_is_one_line_with_and_without_workers(tmp_path: Path) -> None:
    place = Place(toy_set(tmp_path / "set", trained=4, tested=2), tmp_path / "runs")
    path = place.toy.dataset.path(place.toy.dataset.names()[1])
    path.write_bytes(path.read_bytes()[:400])
    for workers in ("0", "1"):
        result = place("train", *ONE_EPOCH, "--recipe", "pgan_small", "--workers", workers)
        assert_error(result, 1, f"Error: {path}: damaged image")


@pytest.mark.parametrize("command", ["train", "evaluate"])
@pytest.mark.parametrize(
    "options", [["--workers", "-1"], ["--device", "tpu"], ["--nonsense"], ["--seed", "-1"], ["--seed", "x"], ["more"]]
)
def test_wrong_usage_is_exit_2(place: Place, command: str, options: list[str]) -> None:
    assert_error(place(command, *options), 2)


@pytest.mark.parametrize("options", [["--draws", "0"], ["--set", "epochs=1"], ["--split"]])
def test_options_of_evaluate_are_checked(place: Place, options: list[str]) -> None:
    assert_error(place("evaluate", *options), 2)
