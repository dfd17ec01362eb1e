import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

import detect.extraction.run as detect_run
import detect.training.train as detect_training
from data_cache.base.errors import UserError
from data_cache.parts.cache import PartBoxes, read_parts
from detect.commands.detect import detect
from detect.commands.parts import parts
from detect.training.train import METRICS, WEIGHTS, trained_weights
from helpers.places.detect import toy_place
from helpers.toy.annotations import TINY


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Toy data with a CSV, and under `runs` a detector named demo."""
    return toy_place(tmp_path_factory.mktemp("place"))


def where(place: Path) -> list[str]:
    return ["--dataset", "folder", "--data-root", str(place / "data"), "--runs", str(place / "runs"), "--device", "cpu"]


def test_detect_writes_the_cache_and_tells_what_it_holds(place: Path) -> None:
    arguments = [*where(place), "--recipe", "demo", "--workers", "0", "--json"]
    result = CliRunner().invoke(detect, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    summary = json.loads(result.stdout)
    assert summary["images"] == 4 and summary["failed"] == 0 and Path(summary["output"]).exists()


def test_failures_beyond_the_limit_end_in_an_error(place: Path, tmp_path: Path) -> None:
    (place / "data/images/0000.png").rename(tmp_path / "away.png")
    arguments = [*where(place), "--recipe", "demo", "--workers", "0", "--output", str(tmp_path / "p.h5")]
    try:
        with pytest.raises(UserError, match="1 images failed, more than --max-failed 0"):
            CliRunner().invoke(detect, [*arguments, "--max-failed", "0"], catch_exceptions=False)
        result = CliRunner().invoke(detect, [*arguments, "--max-failed", "1"])
        assert result.exit_code == 0 and "3 with parts, 0 without, 1 failed" in result.stdout
        assert "failed, 1: no such file" in result.stdout and "first failed: images/0000.png (" in result.stdout
        assert "4 images; nothing was left to do" in result.stdout
    finally:
        (tmp_path / "away.png").rename(place / "data/images/0000.png")


def test_a_limited_run_has_a_cache_of_its_own(place: Path) -> None:
    arguments = [*where(place), "--recipe", "demo", "--workers", "0", "--limit", "2"]
    planned = CliRunner().invoke(detect, [*arguments, "--dry-run"], catch_exceptions=False)
    folder = CliRunner().invoke(detect, [*arguments, "--dry-run", "--json"], catch_exceptions=False)
    output = Path(json.loads(folder.stdout)["output"])
    assert "2 of folder, the first 2 by name" in planned.stdout and "to do: 2" in planned.stdout
    assert output.name == "parts-first-2.h5" and not output.exists()
    result = CliRunner().invoke(detect, [*arguments, "--json"], catch_exceptions=False)
    summary = json.loads(result.stdout)
    assert summary["images"] == 2 and summary["output"] == str(output) and output.exists()


def test_the_size_of_a_shard_is_an_option_and_changes_no_byte(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge, counts = detect_run.merge_shards, []

    def counted(shards: Sequence[Path], output: Path) -> PartBoxes:
        counts.append(len(shards))
        return merge(shards, output)

    monkeypatch.setattr(detect_run, "merge_shards", counted)
    for name, more in (("one.h5", []), ("three.h5", ["--shard-size", "3"])):
        arguments = [*where(place), "--recipe", "demo", "--workers", "0", "--output", str(tmp_path / name), *more]
        CliRunner().invoke(detect, arguments, catch_exceptions=False)
    assert counts == [1, 2]
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "three.h5").read_bytes()


def test_a_folder_of_photographs_needs_no_list(place: Path) -> None:
    arguments = ["--images", str(place / "data"), "--runs", str(place / "runs"), "--recipe", "demo", "--workers", "0"]
    result = CliRunner().invoke(detect, [*arguments, "--device", "cpu", "--json"], catch_exceptions=False)
    output = place / "runs/data/parts.h5"
    assert json.loads(result.stdout)["output"] == str(output)
    assert read_parts(output).names == tuple(f"images/{number:04d}.png" for number in range(4))


def test_trunk_weights_are_an_option_and_none_of_them_too(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(detect_training, "train_detector", lambda recipe, *_, **__: asked.append(recipe.trunk_weights))
    data = ["--annotations", str(place / "data/parts.json"), "--runs", str(tmp_path), "--device", "cpu"]
    for more in ([], ["--trunk-weights", "none"], ["--trunk-weights", "vgg16.pth"]):
        arguments = ["train", *data, "--recipe", "ssd300_vgg16", *more]
        assert CliRunner().invoke(parts, arguments, catch_exceptions=False).exit_code == 0
    assert asked == ["imagenet", None, "vgg16.pth"]


def test_a_second_run_and_a_dry_run_load_no_torch(place: Path) -> None:
    arguments = [*where(place), "--weights", str(place / "runs/detector/demo" / WEIGHTS), "--workers", "0"]
    arguments = [argument if argument != "cpu" else "auto" for argument in arguments]
    CliRunner().invoke(detect, [*arguments, "--output", str(place / "twice.h5")], catch_exceptions=False)
    code = (
        "import sys; from click.testing import CliRunner; from detect.commands.detect import detect\n"
        "result = CliRunner().invoke(detect, sys.argv[1:], catch_exceptions=False)\n"
        "print(result.output)\n"
        "assert not {'torch', 'mmdet', 'mmcv', 'mmengine', 'matplotlib'} & set(sys.modules)"
    )
    for more in (["--output", str(place / "twice.h5")], ["--output", str(place / "never.h5"), "--dry-run"]):
        run = subprocess.run(
            [sys.executable, "-c", code, *arguments, *more], capture_output=True, text=True, check=True
        )
        assert "nothing was left to do" in run.stdout or "finished: 0; to do: 4" in run.stdout
    without = [sys.executable, "-c", code, *where(place)[:-1], "auto", "--dry-run"]
    run = subprocess.run(without, capture_output=True, text=True, check=True)
    assert "detector/demo" in run.stdout  # the only one trained there, whatever the device


def test_other_processes_of_torchrun_print_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [*where(place), "--recipe", "demo", "--workers", "0", "--output", str(place / "shared.h5")]
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    for more in ([], ["--dry-run"], ["--json"]):
        result = CliRunner().invoke(detect, [*arguments, *more], catch_exceptions=False)
        assert (result.exit_code, result.output) == (0, "")
    assert not (place / "shared.h5").exists()


def test_a_detector_that_was_not_trained_is_told_with_the_remedy(place: Path) -> None:
    with pytest.raises(UserError, match=r"trained here: demo.*parts train --dataset synthetic --recipe ssd300_vgg16"):
        trained_weights(place / "runs", "ssd300_vgg16", "cpu")
    with pytest.raises(UserError, match=r"cannot be used \(File name too long\)"):
        trained_weights(place / ("x" * 300), None, "cpu")
    with pytest.raises(UserError, match="no trained detector; train one with"):
        trained_weights(place / "elsewhere", None, "cpu")


def test_without_a_recipe_the_only_trained_detector_is_taken_and_told(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trained_weights(place / "runs", None, "cpu").parent.name == "demo"
    assert "detector demo: the only one trained here" in capsys.readouterr().err
    for name in ("one", "two"):
        (tmp_path / "detector" / name).mkdir(parents=True)
        (tmp_path / "detector" / name / METRICS).write_text("{}")
    with pytest.raises(UserError, match="trained here: one, two"):
        trained_weights(tmp_path, None, "cpu")


def test_two_names_for_a_detector_are_refused(place: Path) -> None:
    weights = str(place / "runs/detector/demo" / WEIGHTS)
    images, both = str(place / "data/images"), ["--recipe", "demo", "--weights", weights]
    annotated = ["--annotations", str(place / "data/parts.json"), "--images", images]
    for command, more in (
        (detect, ["--images", images]),
        (parts, ["eval", *annotated]),
        (parts, ["preview", "--images", images]),
    ):
        result = CliRunner().invoke(command, [*more, *both])
        assert result.exit_code == 2 and "leave out one of them" in result.output


def test_a_recipe_file_that_has_changed_since_the_training_is_told(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, recipe = tmp_path / "demo.yaml", TINY.model_dump(mode="json")
    file.write_text(yaml.safe_dump(recipe))
    weights = trained_weights(place / "runs", str(file), "cpu")
    assert weights == place / "runs/detector/demo" / WEIGHTS and capsys.readouterr().err == ""
    file.write_text(yaml.safe_dump(recipe | {"top_k": 3}))
    assert trained_weights(place / "runs", str(file), "cpu") == weights
    assert f"trained with top_k = {TINY.top_k}, which is used; {file} has 3" in capsys.readouterr().err
    with pytest.raises(UserError, match="cannot be read as a recipe"):
        trained_weights(place / "runs", str(tmp_path / "away" / "demo.yaml"), "cpu")


def test_train_wants_annotations(place: Path) -> None:
    result = CliRunner().invoke(parts, ["train", *where(place)])
    assert result.exit_code == 2 and "give --annotations FILE" in result.output


def test_help_shows_examples_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from click.testing import CliRunner\n"
        "from detect.commands.detect import detect; from detect.commands.parts import parts\n"
        "print(CliRunner().invoke(detect, ['--help']).output, CliRunner().invoke(parts, ['train', '--help']).output)\n"
        "assert not {'torch', 'pandas', 'mmdet', 'numpy'} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "python cli.py detect --dataset" in run.stdout and "python cli.py parts train --dataset" in run.stdout
