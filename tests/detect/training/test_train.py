import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_cache.base.errors import UserError
from data_cache.images.loading import load_image
from detect.annotations.reading import read_annotations
from detect.evaluation.evaluate import evaluate_detector
from detect.model.detector import load_detector
from detect.recipes import DetectorRecipe
from detect.training.train import CURVES, LOG, METRICS, RECIPE, SCRATCH, STATE, WEIGHTS, train_detector
from helpers.toy.annotations import TINY, toy_set
from soak.disk.traps import Trap, trapped

SHORT = TINY.model_copy(update={"epochs": 3, "validate_every": 1, "batch_size": 2, "flip": 0.5, "zoom_in": 0.5})
STOPPED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, "tests")
from test_detect_training import SHORT, train
import detect.model.mmcv_ops; detect.model.mmcv_ops.supply_operators()
import detect.training.runner
after_epoch = detect.training.runner.StateHook.after_train_epoch
def stop(self, runner):
    after_epoch(self, runner)
    if runner.epoch == 1:
        os.kill(os.getpid(), signal.SIGKILL)
detect.training.runner.StateHook.after_train_epoch = stop
train(SHORT, Path(sys.argv[1]), Path(sys.argv[2]))
"""


def train(recipe: DetectorRecipe, data: Path, folder: Path, workers: int = 0) -> Path:
    return train_detector(recipe, data / "parts.json", data, folder, device="cpu", workers=workers)


@pytest.fixture(scope="module")
def overfitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with toy data and, in `run`, a detector that was trained on just them."""
    folder = tmp_path_factory.mktemp("overfit")
    toy_set(folder / "data", 6)
    train(TINY, folder / "data", folder / "run")
    return folder


def test_a_detector_learns_a_few_images_by_heart(overfitted: Path) -> None:
    metrics = json.loads((overfitted / "run" / METRICS).read_text())
    assert metrics["recall"] >= 0.95 and metrics["recall_with_label"] >= 0.95 and metrics["ap50"] >= 0.9
    assert metrics["held_out"] is False
    log = [json.loads(line) for line in (overfitted / "run" / "log.jsonl").read_text().splitlines()]
    lines = [line for line in log if "loss" in line]
    assert len(lines) == TINY.epochs and lines[-1]["loss"] < lines[0]["loss"] / 5
    assert not (overfitted / "run" / STATE).exists()


def test_one_image_or_many_give_the_same_parts(overfitted: Path) -> None:
    detector = load_detector(overfitted / "run" / WEIGHTS, "cpu")
    names = [image.name for image in read_annotations(overfitted / "data" / "parts.json", overfitted / "data")]
    images = [load_image(overfitted / "data" / name) for name in names]
    together, alone = detector(images), [detector([image])[0] for image in images]
    for many, one in zip(together, alone, strict=True):
        sure = one.scores > 0.3
        assert sure.sum() >= 3
        assert np.allclose(many.boxes[: sure.sum()], one.boxes[sure], atol=1.5)
        assert many.labels[: sure.sum()].tolist() == one.labels[sure].tolist()
    assert detector([]) == []


def test_the_weights_of_the_best_measured_epoch_are_kept(overfitted: Path) -> None:
    metrics = json.loads((overfitted / "run" / METRICS).read_text())
    log = [json.loads(line) for line in (overfitted / "run" / "log.jsonl").read_text().splitlines()]
    measured = {line["epoch"]: line["ap"] for line in log if "ap" in line}
    assert list(measured) == [*range(TINY.validate_every, TINY.epochs + 1, TINY.validate_every)]
    assert metrics["epoch"] == max(measured, key=lambda epoch: (measured[epoch], -epoch))
    images = read_annotations(overfitted / "data" / "parts.json", overfitted / "data")
    again = evaluate_detector(
        load_detector(overfitted / "run" / WEIGHTS, "cpu"), images, overfitted / "data", workers=0
    )
    assert again.ap == metrics["ap"]
    assert Image.open(overfitted / "run" / CURVES).format == "PNG"


def test_a_finished_training_is_left_alone(overfitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (overfitted / "run" / WEIGHTS).stat().st_mtime_ns
    train(TINY, overfitted / "data", overfitted / "run")
    assert (overfitted / "run" / WEIGHTS).stat().st_mtime_ns == before
    assert "already trained" in capsys.readouterr().err


def test_another_recipe_in_the_same_folder_is_refused(overfitted: Path) -> None:
    with pytest.raises(UserError, match=r"made with recipe\.epochs = 80, this run needs 81"):
        train(TINY.model_copy(update={"epochs": 81}), overfitted / "data", overfitted / "run")


def test_a_killed_training_goes_on_and_ends_with_the_same_weights(tmp_path: Path) -> None:
    toy_set(tmp_path / "data", 4)
    killed = [sys.executable, "-c", STOPPED, str(tmp_path / "data"), str(tmp_path / "killed")]
    run = subprocess.run(killed, capture_output=True, text=True, check=False)
    assert run.returncode == -9 and (tmp_path / "killed" / STATE).exists(), run.stderr
    assert run.stdout == "" and all(
        line.startswith(("training on", "trunk from random", "epoch")) for line in run.stderr.splitlines()
    )
    resumed, whole = (train(SHORT, tmp_path / "data", tmp_path / name) for name in ("killed", "whole"))
    assert resumed.read_bytes() == whole.read_bytes()
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("killed", "whole")]
    assert logs[0] == logs[1]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, "a process that reads images has ended .* run it again to go on"),
        (signal.SIGTERM, r"stopped from outside \(SIGTERM\); .* run it again to go on"),
    ],
)
def test_a_killed_worker_and_sigterm_end_the_training_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, words: str
) -> None:
    from detect.training.runner import ProgressHook  # imports the mm packages

    def kill(*_: object, **__: object) -> None:
        worker = min(child.pid or 0 for child in multiprocessing.active_children())
        os.kill(os.getpid() if number == signal.SIGTERM else worker, number)

    toy_set(tmp_path / "data", 6)
    monkeypatch.setattr(ProgressHook, "after_train_iter", kill)
    with pytest.raises(UserError, match=words):
        train(SHORT, tmp_path / "data", tmp_path / "run", workers=2)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [RECIPE]


def test_what_killed_runs_left_is_removed(tmp_path: Path) -> None:
    toy_set(tmp_path / "data", 6)
    run = tmp_path / "run"
    (run / ".scratch" / "log").mkdir(parents=True)
    for name in (WEIGHTS, STATE):
        (run / f".{name}.abcdefgh.tmp").write_bytes(b"half")
    train(SHORT.model_copy(update={"epochs": 1}), tmp_path / "data", run)
    whole = sorted([WEIGHTS, RECIPE, METRICS, LOG, CURVES])
    assert sorted(path.name for path in run.iterdir()) == whole
    for name in (STATE, ".lock"):  # of a run that was killed when its metrics were written
        (run / name).write_bytes(b"left")
        train(SHORT.model_copy(update={"epochs": 1}), tmp_path / "data", run)
        assert sorted(path.name for path in run.iterdir()) == whole


def test_a_loss_that_is_not_finite_stops_with_a_clear_error(tmp_path: Path) -> None:
    toy_set(tmp_path / "data", 4)
    with pytest.raises(UserError, match=r"the loss became (nan|inf) in epoch"):
        train(
            SHORT.model_copy(update={"learning_rate": 1e30, "clip_gradient": 1e30}), tmp_path / "data", tmp_path / "run"
        )


def test_a_folder_that_mmengine_cannot_make_is_told_in_one_line(tmp_path: Path) -> None:
    toy_set(tmp_path / "data", 4)
    run = tmp_path / "run"
    told = rf"{run / SCRATCH}: cannot be written \(No space left on device\)"
    with trapped(Trap(run / SCRATCH, 1, errno.ENOSPC, only=("mkdir",))), pytest.raises(UserError, match=told):
        train(SHORT, tmp_path / "data", run)
    assert [path.name for path in run.iterdir()] == [RECIPE]


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    toy_set(tmp_path / "data", 4)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / STATE).write_bytes(b"no checkpoint")
    with pytest.raises(UserError, match="damaged checkpoint"):
        train(SHORT, tmp_path / "data", tmp_path / "run")


def test_an_image_that_a_worker_cannot_read_is_told_in_one_line(tmp_path: Path) -> None:
    toy_set(tmp_path / "data", 4)
    spoilt = tmp_path / "data" / "images" / "0002.png"
    spoilt.write_bytes(spoilt.read_bytes()[:-200])
    with pytest.raises(UserError) as caught:
        train_detector(
            SHORT, tmp_path / "data/parts.json", tmp_path / "data", tmp_path / "run", device="cpu", workers=1
        )
    assert str(caught.value).startswith(f"{spoilt}: ") and "\n" not in str(caught.value)


def test_trunk_weights_that_are_not_there_are_told_before_anything_is_written(tmp_path: Path) -> None:
    toy_set(tmp_path / "data", 4)
    with pytest.raises(UserError, match=r"absent\.pth: no such file"):
        train(SHORT.model_copy(update={"trunk_weights": "absent.pth"}), tmp_path / "data", tmp_path / "run")
    assert not (tmp_path / "run").exists()
