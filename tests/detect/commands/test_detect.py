import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

import detect.extraction.run as detect_run
import detect.training.train as detect_training
from data_cache.base.errors import UserError
from data_cache.parts.cache import PartBoxes, read_parts
from detect.commands.detect import detect
from detect.commands.parts import parts
from detect.training.runs import METRICS, WEIGHTS, trained_weights
from helpers.places.detect import toy_workspace
from helpers.toy.annotations import TINY


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with toy data and a detector named demo."""
    return toy_workspace(tmp_path_factory.mktemp("workspace"))


def run(command: click.Command, *arguments: str) -> str:
    """Run a command that succeeds; return its standard output."""
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def options(workspace: Path, *more: str) -> list[str]:
    """Return the options of `detect` for the toy data, by default with the detector demo."""
    folders = ["--data-root", str(workspace / "data"), "--runs", str(workspace / "runs")]
    return ["--dataset", "folder", *folders, "--device", "cpu", "--workers", "0", *(more or ("--recipe", "demo"))]


def test_detect_writes_a_cache(workspace: Path) -> None:
    summary = json.loads(run(detect, *options(workspace), "--json"))
    assert summary["images"] == 4 and summary["failed"] == 0 and Path(summary["output"]).exists()


def test_max_failed_limits_failures(workspace: Path, tmp_path: Path) -> None:
    data = shutil.copytree(workspace / "data", tmp_path / "data")
    (data / "images/0000.png").unlink()
    weights = str(workspace / "runs/detector/demo" / WEIGHTS)
    arguments = [*options(tmp_path, "--weights", weights), "--output", str(tmp_path / "p.h5"), "--max-failed"]
    with pytest.raises(UserError, match="1 images failed, more than --max-failed 0"):
        run(detect, *arguments, "0")
    text = run(detect, *arguments, "1")
    assert "3 with parts, 0 without, 1 failed" in text
    assert "failed, 1: no such file" in text and "first failed: images/0000.png (" in text
    assert "4 images; nothing was left to do" in text


def test_a_limited_run_writes_a_cache_of_its_own(workspace: Path) -> None:
    arguments = [*options(workspace), "--limit", "2"]
    plan = run(detect, *arguments, "--dry-run")
    assert "2 of folder, the first 2 by name" in plan and "to do: 2" in plan
    output = Path(json.loads(run(detect, *arguments, "--dry-run", "--json"))["output"])
    assert output.name == "parts-first-2.h5" and not output.exists()
    summary = json.loads(run(detect, *arguments, "--json"))
    assert summary["images"] == 2 and summary["output"] == str(output) and output.exists()


def test_the_shard_size_changes_no_byte(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    merge, counts = detect_run.merge_shards, []

    def counted(shards: Sequence[Path], output: Path) -> PartBoxes:
        counts.append(len(shards))
        return merge(shards, output)

    monkeypatch.setattr(detect_run, "merge_shards", counted)
    for name, more in (("one.h5", []), ("three.h5", ["--shard-size", "3"])):
        run(detect, *options(workspace), "--output", str(tmp_path / name), *more)
    assert counts == [1, 2]
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "three.h5").read_bytes()


def test_a_folder_of_images_needs_no_list(workspace: Path) -> None:
    summary = json.loads(run(detect, *options(workspace), "--images", str(workspace / "data"), "--json"))
    output = workspace / "runs/data/parts.h5"
    assert summary["output"] == str(output)
    assert read_parts(output).names == tuple(f"images/{number:04d}.png" for number in range(4))


def test_a_finished_run_and_a_dry_run_do_not_import_torch(workspace: Path) -> None:
    weights = str(workspace / "runs/detector/demo" / WEIGHTS)
    explicit, implicit = options(workspace, "--weights", weights), options(workspace, "--device", "auto")
    finished = str(workspace / "finished.h5")
    run(detect, *explicit, "--output", finished)
    code = (
        "import sys; from click.testing import CliRunner; from detect.commands.detect import detect\n"
        "print(CliRunner().invoke(detect, sys.argv[1:], catch_exceptions=False).output)\n"
        "assert not {'torch', 'mmdet', 'mmcv', 'mmengine', 'matplotlib'} & set(sys.modules)"
    )
    for arguments, message in (
        ([*explicit, "--device", "auto", "--output", finished], "nothing was left to do"),
        ([*explicit, "--device", "auto", "--output", str(workspace / "new.h5"), "--dry-run"], "to do: 4"),
        ([*implicit, "--dry-run"], "detector/demo"),  # the only trained one, on any device
    ):
        command = [sys.executable, "-c", code, *arguments]
        assert message in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_only_the_first_process_of_torchrun_prints(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    output = workspace / "shared.h5"
    for more in ([], ["--dry-run"], ["--json"]):
        result = CliRunner().invoke(detect, [*options(workspace), "--output", str(output), *more])
        assert (result.exit_code, result.output) == (0, "")
    assert not output.exists()


def test_recipe_and_weights_cannot_be_combined(workspace: Path) -> None:
    weights = str(workspace / "runs/detector/demo" / WEIGHTS)
    images, both = str(workspace / "data/images"), ["--recipe", "demo", "--weights", weights]
    annotated = ["--annotations", str(workspace / "data/parts.json"), "--images", images]
    for command, more in (
        (detect, ["--images", images]),
        (parts, ["eval", *annotated]),
        (parts, ["preview", "--images", images]),
    ):
        result = CliRunner().invoke(command, [*more, *both])
        assert result.exit_code == 2 and "cannot be combined" in result.output


def test_trunk_weights_override_the_recipe(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(detect_training, "train_detector", lambda recipe, *_, **__: asked.append(recipe.trunk_weights))
    data = ["--annotations", str(workspace / "data/parts.json"), "--runs", str(tmp_path), "--device", "cpu"]
    for more in ([], ["--trunk-weights", "none"], ["--trunk-weights", "vgg16.pth"]):
        arguments = ["train", *data, "--recipe", "ssd300_vgg16", *more]
        run(parts, *arguments)
    assert asked == ["imagenet", None, "vgg16.pth"]


def test_a_missing_detector_is_an_error_with_the_remedy(workspace: Path) -> None:
    with pytest.raises(UserError, match=r"trained here: demo.*parts train --dataset synthetic --recipe ssd300_vgg16"):
        trained_weights(workspace / "runs", "ssd300_vgg16", "cpu")
    with pytest.raises(UserError, match=r"cannot be used \(File name too long\)"):
        trained_weights(workspace / ("x" * 300), None, "cpu")
    with pytest.raises(UserError, match="no trained detector; train one with"):
        trained_weights(workspace / "elsewhere", None, "cpu")


def test_without_a_recipe_the_only_trained_detector_is_used(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trained_weights(workspace / "runs", None, "cpu").parent.name == "demo"
    assert "detector demo: the only one trained here" in capsys.readouterr().err
    for name in ("one", "two"):
        (tmp_path / "detector" / name).mkdir(parents=True)
        (tmp_path / "detector" / name / METRICS).write_text("{}")
    with pytest.raises(UserError, match="trained here: one, two"):
        trained_weights(tmp_path, None, "cpu")


def test_a_recipe_file_changed_since_training_is_reported(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, recipe = tmp_path / "demo.yaml", TINY.model_dump(mode="json")
    file.write_text(yaml.safe_dump(recipe))
    weights = trained_weights(workspace / "runs", str(file), "cpu")
    assert weights == workspace / "runs/detector/demo" / WEIGHTS and capsys.readouterr().err == ""
    file.write_text(yaml.safe_dump(recipe | {"top_k": 3}))
    assert trained_weights(workspace / "runs", str(file), "cpu") == weights
    assert f"trained with top_k = {TINY.top_k}, which is used; {file} has 3" in capsys.readouterr().err
    with pytest.raises(UserError, match="cannot be read as a recipe"):
        trained_weights(workspace / "runs", str(tmp_path / "away" / "demo.yaml"), "cpu")


def test_training_needs_annotations(workspace: Path) -> None:
    result = CliRunner().invoke(parts, ["train", "--dataset", "folder", "--data-root", str(workspace / "data")])
    assert result.exit_code == 2 and "give --annotations FILE" in result.output
