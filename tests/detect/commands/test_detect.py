import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import detect.extraction.run as detect_run
from cli import main
from data_cache.base.errors import UserError
from data_cache.base.files import sha256_of_file
from data_cache.base.tensors import load_tensors, save_tensors
from data_cache.parts.cache import PartBoxes, read_parts
from detect.commands.detect import detect
from detect.training.runs import WEIGHTS
from helpers.paths import ROOT
from helpers.places.detect import shipping, toy_workspace


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
    return ["--dataset", "folder", *folders, "--device", "cpu", "--workers", "0", *(more or ("--detector", "demo"))]


def test_detect_writes_a_cache(workspace: Path) -> None:
    summary = json.loads(run(detect, *options(workspace), "--json"))
    assert summary["images"] == 4 and summary["failed"] == 0 and Path(summary["output"]).exists()


def test_max_failed_limits_failures(workspace: Path, tmp_path: Path) -> None:
    data = shutil.copytree(workspace / "data", tmp_path / "data")
    (data / "images/0000.png").unlink()
    weights = str(workspace / "runs/detector/demo" / WEIGHTS)
    arguments = [*options(tmp_path, "--detector", weights), "--output", str(tmp_path / "p.h5"), "--max-failed"]
    with pytest.raises(UserError, match="1 images failed, more than --max-failed 0"):
        run(detect, *arguments, "0")
    text = run(detect, *arguments, "1")
    found = int((read_parts(tmp_path / "p.h5").scores.max(axis=1) >= 0.5).sum())
    assert f"{found} with parts, {3 - found} without, 1 failed" in text
    assert "counted are boxes of confidence 0.5 or more" in text
    assert "failed, 1: no such file" in text and "first failed: images/0000.png (" in text
    assert "4 images; nothing was left to do" in text


def test_a_run_that_could_read_no_image_fails(workspace: Path, tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(b"no picture")
    weights = str(workspace / "runs/detector/demo" / WEIGHTS)
    arguments = ["--images", str(tmp_path / "photos"), *options(tmp_path, "--detector", weights)[2:]]
    result = CliRunner().invoke(main, ["detect", *arguments])
    assert result.exit_code == 1
    assert "Error: none of the 2 images could be read, first a.jpg (" in result.stderr
    assert (tmp_path / "runs/photos/parts.h5").exists()


@pytest.mark.parametrize("encoding", ["latin-1", "cp932"])
def test_a_terminal_that_cannot_show_a_name_gets_it_escaped(workspace: Path, tmp_path: Path, encoding: str) -> None:
    (tmp_path / "photos").mkdir()
    shutil.copy(workspace / "data/images/0000.png", tmp_path / "photos/ü日本.png")
    (tmp_path / "photos/ý日本.png").write_bytes(b"no picture")
    weights = str(workspace / "runs/detector/demo" / WEIGHTS)
    arguments = ["--images", "photos", "--runs", "runs", "--detector", weights, "--device", "cpu", "--workers", "0"]
    command = [sys.executable, str(ROOT / "cli.py"), "detect", *arguments]
    variables = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(encoding)
    assert "first failed: " + "ý日本.png".encode(encoding, "backslashreplace").decode(encoding) in done.stdout.decode(
        encoding
    )


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
    explicit, implicit = options(workspace, "--detector", weights), options(workspace, "--device", "auto")
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
        ([*implicit, "--dry-run"], "detector/demo"),  # the newest trained one
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


def test_without_a_trained_detector_the_shipped_one_is_used(workspace: Path, tmp_path: Path) -> None:
    weights = workspace / "runs/detector/demo" / WEIGHTS
    folders = ["--data-root", str(workspace / "data"), "--runs", str(tmp_path / "runs"), "--device", "cpu"]
    with shipping(Path(shutil.copyfile(weights, tmp_path / "shipped.safetensors"))):
        result = CliRunner().invoke(main, ["detect", "--dataset", "folder", *folders, "--workers", "0"])
        assert result.exit_code == 0, result.output
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("detector:")]
        assert "ships with the package" in line
        annotated = ["--annotations", str(workspace / "data/parts.json"), *folders, "--workers", "0"]
        assert CliRunner().invoke(main, ["parts", "eval", *annotated]).exit_code == 0
    assert read_parts(tmp_path / "runs/folder/parts.h5").fingerprint["weights_sha256"] == sha256_of_file(weights)
    assert [path.name for path in (tmp_path / "runs/detector/shipped").iterdir()] == ["eval-parts"]
    assert not (tmp_path / "eval-parts").exists()


def damaged(weights: Path, folder: Path, damage: str) -> Path:
    """Return a file with the damage in it."""
    content = bytearray(weights.read_bytes())
    tensors, metadata, _ = load_tensors(weights, "")
    file = folder / "w.safetensors"
    if damage == "flipped":
        content[-5] ^= 1
        file.write_bytes(content)
    elif damage == "cut":
        file.write_bytes(content[:-1000])
    elif damage == "another kind":
        save_tensors(file, tensors, metadata | {"kind": "re-identification"})
    elif damage == "another version":
        save_tensors(file, tensors, metadata | {"recipe": {**metadata["recipe"], "option_of_the_future": 1}})
    elif damage == "another recipe":
        save_tensors(file, tensors, metadata | {"recipe": {**metadata["recipe"], "widen_factor": 0.25}})
    return file


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("missing", "no such file"),
        ("flipped", "its content has changed since it was written"),
        ("cut", "damaged, or not written by this program"),
        ("another kind", "not the weights of a part detector"),
        ("another version", "its recipe is of another version"),
        ("another recipe", "its tensors do not fit the network of the recipe"),
    ],
)
def test_an_unusable_weights_file_is_one_line_with_the_remedy(
    workspace: Path, tmp_path: Path, damage: str, words: str
) -> None:
    weights = damaged(workspace / "runs/detector/demo" / WEIGHTS, tmp_path, damage)
    images, annotated = str(workspace / "data/images"), str(workspace / "data/parts.json")
    options = ["--detector", str(weights), "--runs", str(tmp_path / "runs"), "--device", "cpu", "--workers", "0"]
    for command in (
        ["detect", "--images", images],
        ["parts", "eval", "--annotations", annotated],
        ["parts", "preview", "--images", images],
        ["export", "--what", "detector", "--format", "safetensors"],
    ):
        known = options[:4] if command[0] == "export" else options
        if command[0] == "export" and damage == "another recipe":
            continue  # it writes tensors and builds no network
        result = CliRunner().invoke(main, [*command, *known])
        assert result.exit_code == 1 and "Traceback" not in result.output
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
        assert str(weights) in line and words in line and "--detector" in line
