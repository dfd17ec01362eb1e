"""Detector training: it overfits, keeps the best epoch, resumes bit for bit, and ends with one-line errors."""

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from data_cache.base.errors import UserError
from data_cache.base.files import sha256_of_file
from data_cache.base.signals import Terminated, sigterm_raises
from data_cache.base.tensors import load_tensors
from detect.annotations.reading import read_annotations
from detect.evaluation.evaluate import evaluate_detector
from detect.model.detector import load_detector
from detect.model.weights import write_weights
from detect.recipes import DetectorRecipe
from detect.training.runs import CURVES, LOG, METRICS, RECIPE, SCRATCH, STATE, WEIGHTS
from detect.training.train import train_detector
from helpers.faults.traps import Trap, trapped
from helpers.toy.annotations import TINY, toy_set

SHORT = TINY.model_copy(update={"epochs": 3, "validate_every": 1, "batch_size": 2, "flip": 0.5, "zoom_in": 0.5})
KILLED_AFTER_ONE_EPOCH = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [".", "tests", "tests/detect/training"]
from test_train import SHORT, train
from detect.model.mmcv_ops import supply_operators
supply_operators()
from detect.training.runner import StateHook
after_epoch = StateHook.after_train_epoch
def kill(self, runner):
    after_epoch(self, runner)
    if runner.epoch == 1:
        os.kill(os.getpid(), signal.SIGKILL)
StateHook.after_train_epoch = kill
from data_cache.base.progress import show_messages
show_messages()
train(SHORT, Path(sys.argv[1]), Path(sys.argv[2]))
"""


def train(recipe: DetectorRecipe, data: Path, folder: Path, workers: int = 0) -> Path:
    return train_detector(recipe, data / "parts.json", data, folder, device="cpu", workers=workers)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A toy set of four images."""
    toy_set(tmp_path / "data", 4)
    return tmp_path / "data"


@pytest.fixture(scope="module")
def overfitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with toy data and, in `run`, a detector trained on nothing else."""
    folder = tmp_path_factory.mktemp("overfit")
    toy_set(folder / "data", 6)
    train(TINY, folder / "data", folder / "run")
    return folder


def test_detector_overfits_a_few_images(overfitted: Path) -> None:
    metrics = json.loads((overfitted / "run" / METRICS).read_text())
    assert metrics["recall"] >= 0.95 and metrics["recall_with_label"] >= 0.95 and metrics["ap50"] >= 0.9
    assert metrics["held_out"] is False
    log = [json.loads(line) for line in (overfitted / "run" / LOG).read_text().splitlines()]
    epochs = [line for line in log if "loss" in line]
    assert len(epochs) == TINY.epochs and epochs[-1]["loss"] < epochs[0]["loss"] / 5
    assert not (overfitted / "run" / STATE).exists()


def test_weights_of_the_best_epoch_are_kept(overfitted: Path) -> None:
    metrics = json.loads((overfitted / "run" / METRICS).read_text())
    log = [json.loads(line) for line in (overfitted / "run" / LOG).read_text().splitlines()]
    measured = {line["epoch"]: line["ap"] for line in log if "ap" in line}
    assert list(measured) == [*range(TINY.validate_every, TINY.epochs + 1, TINY.validate_every)]
    assert metrics["epoch"] == max(measured, key=lambda epoch: (measured[epoch], -epoch))
    images = read_annotations(overfitted / "data/parts.json", overfitted / "data")
    detector = load_detector(overfitted / "run" / WEIGHTS, "cpu")
    assert evaluate_detector(detector, images, overfitted / "data", workers=0).ap == metrics["ap"]
    assert Image.open(overfitted / "run" / CURVES).format == "PNG"


def test_finished_training_is_left_unchanged(overfitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (overfitted / "run" / WEIGHTS).stat().st_mtime_ns
    train(TINY, overfitted / "data", overfitted / "run")
    assert (overfitted / "run" / WEIGHTS).stat().st_mtime_ns == before
    assert "already trained" in capsys.readouterr().err


def test_another_recipe_in_the_same_folder_is_refused(overfitted: Path) -> None:
    with pytest.raises(UserError, match=r"made with recipe\.epochs = 80, this run needs 81"):
        train(TINY.model_copy(update={"epochs": 81}), overfitted / "data", overfitted / "run")


def test_killed_training_resumes_and_ends_with_the_same_weights(tmp_path: Path, data: Path) -> None:
    command = [sys.executable, "-c", KILLED_AFTER_ONE_EPOCH, str(data), str(tmp_path / "killed")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == -signal.SIGKILL and (tmp_path / "killed" / STATE).exists(), run.stderr
    assert run.stdout == ""
    assert all(line.startswith(("training on", "backbone weights", "epoch")) for line in run.stderr.splitlines())
    resumed, uninterrupted = (train(SHORT, data, tmp_path / name) for name in ("killed", "whole"))
    assert resumed.read_bytes() == uninterrupted.read_bytes()
    assert (tmp_path / "killed" / LOG).read_text() == (tmp_path / "whole" / LOG).read_text()


@pytest.mark.parametrize(
    ("number", "error", "message"),
    [
        (signal.SIGKILL, UserError, "a process that reads images was killed .* run the command again to resume"),
        (signal.SIGTERM, Terminated, None),
    ],
)
def test_killed_worker_and_sigterm_end_the_training_cleanly(
    tmp_path: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    error: type[BaseException],
    message: str | None,
) -> None:
    from detect.training.hooks import ProgressHook  # imports the mm packages

    def kill(*_: object, **__: object) -> None:
        worker = min(child.pid or 0 for child in multiprocessing.active_children())
        os.kill(os.getpid() if number == signal.SIGTERM else worker, number)

    monkeypatch.setattr(ProgressHook, "after_train_iter", kill)
    with pytest.raises(error, match=message), sigterm_raises():
        train(SHORT, data, tmp_path / "run", workers=2)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {RECIPE, "train.log"}


def test_leftovers_of_killed_runs_are_removed(tmp_path: Path, data: Path) -> None:
    recipe, run = SHORT.model_copy(update={"epochs": 1}), tmp_path / "run"
    (run / SCRATCH / "log").mkdir(parents=True)
    for name in (WEIGHTS, STATE):
        (run / f".{name}.abcdefgh.tmp").write_bytes(b"half")
    train(recipe, data, run)
    complete = sorted([WEIGHTS, RECIPE, METRICS, LOG, CURVES, "train.log"])
    assert sorted(path.name for path in run.iterdir()) == complete
    for name in (STATE, ".lock"):  # of a run killed after it wrote its metrics
        (run / name).write_bytes(b"left")
        train(recipe, data, run)
        assert sorted(path.name for path in run.iterdir()) == complete


def test_loss_that_is_not_finite_stops_the_training(tmp_path: Path, data: Path) -> None:
    recipe = SHORT.model_copy(update={"learning_rate": 1e30, "clip_gradient": 1e30})
    with pytest.raises(UserError, match=r"the loss became (nan|inf) in epoch"):
        train(recipe, data, tmp_path / "run")


def test_full_disk_is_reported_in_one_line(tmp_path: Path, data: Path) -> None:
    run = tmp_path / "run"
    message = rf"{run / SCRATCH}: cannot be written \(No space left on device\)"
    with trapped(Trap(run / SCRATCH, 1, errno.ENOSPC, only=("mkdir",))), pytest.raises(UserError, match=message):
        train(SHORT, data, run)
    assert {path.name for path in run.iterdir()} == {RECIPE, "train.log"}


def test_damaged_checkpoint_is_reported(tmp_path: Path, data: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / STATE).write_bytes(b"no checkpoint")
    with pytest.raises(UserError, match="damaged checkpoint"):
        train(SHORT, data, tmp_path / "run")


def test_image_that_a_worker_cannot_read_is_reported_in_one_line(tmp_path: Path, data: Path) -> None:
    image = data / "images/0002.png"
    image.write_bytes(image.read_bytes()[:-200])
    with pytest.raises(UserError) as raised:
        train(SHORT, data, tmp_path / "run", workers=1)
    assert str(raised.value).startswith(f"{image}: ") and "\n" not in str(raised.value)


def test_missing_backbone_weights_are_reported_before_anything_is_written(tmp_path: Path, data: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.pth: no such file"):
        train(SHORT.model_copy(update={"trunk_weights": "absent.pth"}), data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_start_is_loaded_and_part_of_what_identifies_the_training(tmp_path: Path, data: Path) -> None:
    recipe = SHORT.model_copy(update={"epochs": 1})
    start = train(recipe, data, tmp_path / "start")
    slow = recipe.model_copy(update={"learning_rate": 1e-12, "seed": 1, "input_size": 128})

    def go_on(start: Path | None, folder: str = "run") -> Path:
        return train_detector(slow, data / "parts.json", data, tmp_path / folder, device="cpu", workers=0, start=start)

    first, _, _ = load_tensors(start, "")
    weights = go_on(start)
    after, _, _ = load_tensors(weights, "")
    convolutions = [name for name, value in first.items() if value.ndim == 4]
    assert convolutions and all(torch.allclose(first[name], after[name], atol=1e-6) for name in convolutions)
    assert json.loads((tmp_path / "run" / RECIPE).read_text())["start"] == sha256_of_file(start)
    assert go_on(start) == weights  # already trained
    for other, found in ((None, "this run needs None"), (weights, f"this run needs {sha256_of_file(weights)}")):
        with pytest.raises(UserError, match=rf"made with start = {sha256_of_file(start)}, {found}.*the same --start"):
            go_on(other)
    assert "start" not in json.loads((tmp_path / "start" / RECIPE).read_text())


def test_a_start_that_does_not_fit_is_reported_before_anything_is_written(tmp_path: Path, data: Path) -> None:
    start = tmp_path / "start.safetensors"
    write_weights(start, torch.nn.Linear(3, 2), TINY)
    with pytest.raises(UserError, match=r"start\.safetensors: its tensors do not fit .* or --start none$"):
        train_detector(SHORT, data / "parts.json", data, tmp_path / "run", device="cpu", workers=0, start=start)
    assert not (tmp_path / "run").exists()
