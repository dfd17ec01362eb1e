"""A run interrupted at any moment ends with the same bits; a finished run is kept, a run of something else refused."""

import errno
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from data_cache.base.errors import UserError
from data_cache.base.files import read_json, read_json_lines
from data_cache.base.locks import run_lock
from data_cache.parts.cache import write_parts
from helpers.paths import ROOT, TESTS
from helpers.toy.vehicles import TINY, TINY_HOLDOUT, Toy, assert_same_run, train_toy
from reid.data.loader import split_vehicles
from reid.model.checkpoint import read_checkpoint
from reid.runs import BEST, LAST, PREVIOUS
from reid.training import log as log_module
from reid.training import loop
from reid.training import state as state_module
from reid.training import train as training
from reid.training.log import CURVES, LOG
from reid.training.losses import Criterion
from reid.training.state import State, save_last, start_state
from reid.training.train import RECIPE


class StopHere(Exception):
    """Interrupts a run at a chosen moment."""


pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.fixture(scope="module")
def uninterrupted(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    train_toy(TINY_HOLDOUT, toy, folder)
    return folder


def raising(function: Callable[..., Any], when: Callable[..., bool]) -> Callable[..., Any]:
    def wrapper(*arguments: Any, **options: Any) -> Any:
        if when(*arguments):
            raise StopHere
        return function(*arguments, **options)

    return wrapper


STOPS: dict[str, tuple[ModuleType, str, Callable[..., bool]]] = {
    "before the first epoch ends": (loop, "save", lambda state, *_: state.epoch == 1),
    "in the middle of the second epoch": (loop, "training_step", lambda state, *_: state.epoch == 1),
    "after the best of the second epoch": (loop, "log_epoch", lambda folder, line: line["epoch"] == 2),
    "after the log of the second epoch": (loop, "save_last", lambda state, *_: state.epoch == 2),
    "between two checkpoints": (state_module, "save", lambda state, path, _: state.epoch == 2 and path.name == LAST),
    "after the second epoch": (loop.log, "info", lambda message: message.startswith("epoch 2/")),
    "after all": (loop.log, "info", lambda message: message.startswith("epoch 3/")),
}


@pytest.mark.parametrize("moment", STOPS)
def test_an_interrupted_run_resumes_to_the_same_bits(
    toy: Toy, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    module, name, when = STOPS[moment]
    with monkeypatch.context() as patch:
        patch.setattr(module, name, raising(getattr(module, name), when))
        with pytest.raises(StopHere):
            train_toy(TINY_HOLDOUT, toy, tmp_path)
    assert not (tmp_path / ".lock").exists()
    assert train_toy(TINY_HOLDOUT, toy, tmp_path) == tmp_path / BEST
    assert_same_run(tmp_path, uninterrupted)


@pytest.mark.parametrize(("module", "name"), [(log_module, "draw_curves"), (loop, "save_last")])
def test_a_run_of_one_epoch_that_logged_it_but_has_no_checkpoint_is_not_finished(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str
) -> None:
    one_epoch = TINY.model_copy(update={"epochs": 1})
    train_toy(one_epoch, toy, tmp_path / "uninterrupted")
    with monkeypatch.context() as patch:
        patch.setattr(module, name, raising(getattr(module, name), lambda *_: True))
        with pytest.raises(StopHere):
            train_toy(one_epoch, toy, tmp_path / "stopped")
    assert read_json_lines(tmp_path / "stopped" / LOG) and not (tmp_path / "stopped" / LAST).exists()
    train_toy(one_epoch, toy, tmp_path / "stopped")
    assert_same_run(tmp_path / "stopped", tmp_path / "uninterrupted")
    assert (tmp_path / "stopped" / CURVES).exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from data_cache.datasets.catalogue import load_dataset
from data_cache.parts.cache import read_parts
from reid.recipes import ReidRecipe
from reid.training import loop
from reid.training.train import train
from helpers.toy.vehicles import tiny_scale

step, calls = loop.training_step, []

def killing(state, *arguments):
    calls.append(1)
    if state.epoch == 1 and len(calls) > 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(state, *arguments)

loop.training_step = killing
root, folder, recipe = sys.argv[1:]
dataset, parts = load_dataset("folder", Path(root)), read_parts(Path(root) / "parts.h5")
with tiny_scale():
    train(ReidRecipe.model_validate_json(recipe), dataset, parts, Path(folder), device="cpu", workers=0)
"""


def test_a_killed_process_leaves_a_run_that_resumes(toy: Toy, uninterrupted: Path, tmp_path: Path) -> None:
    write_parts(toy.dataset.root / "parts.h5", toy.parts)
    command = [sys.executable, "-c", KILLED, str(toy.dataset.root), str(tmp_path), TINY_HOLDOUT.model_dump_json()]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{TESTS}"}
    ended = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert (tmp_path / ".lock").exists()
    assert read_checkpoint(tmp_path / LAST).metadata["epoch"] == 1
    train_toy(TINY_HOLDOUT, toy, tmp_path)
    assert_same_run(tmp_path, uninterrupted)


def test_temporary_files_of_killed_writers_are_removed(toy: Toy, uninterrupted: Path, tmp_path: Path) -> None:
    for name in (LAST, BEST, LOG, CURVES, RECIPE):
        (tmp_path / f".{name}.abcdefgh.tmp").write_bytes(b"half")
    other = tmp_path / ".report.html.abcdefgh.tmp"
    other.write_bytes(b"of another command, which may still run")
    train_toy(TINY_HOLDOUT, toy, tmp_path)
    other.unlink()
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in uninterrupted.iterdir()}


def test_a_finished_run_is_not_run_again(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    best = train_toy(TINY, toy, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    log = before.pop("train.log")
    monkeypatch.setattr(training, "start_state", raising(start_state, lambda *_: True))
    assert train_toy(TINY, toy, tmp_path) == best
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    added = after.pop("train.log").removeprefix(log).decode()
    assert after == before and added.endswith("already trained, 3 epochs\n") and added.count("\n") == 1


def test_a_folder_in_use_is_refused(toy: Toy, tmp_path: Path) -> None:
    with run_lock(tmp_path):
        with pytest.raises(UserError, match="another run"):
            train_toy(TINY, toy, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"margin": 0.5}, "made with recipe.margin = 0.3, this run needs 0.5"),
        (
            {"triplets": ("fusion",)},
            r"made with recipe.triplets = \['fusion', 'global', 'part'\], this run needs \['fusion'\]",
        ),
        ({"seed": 1}, "made with recipe.seed = 3, this run needs 1"),
    ],
)
def test_a_run_of_another_recipe_is_refused_with_the_option(
    toy: Toy, uninterrupted: Path, change: dict[str, Any], words: str
) -> None:
    before = (uninterrupted / LAST).read_bytes()
    with pytest.raises(UserError, match=rf"last\.safetensors: {words}; delete .* or give this training another --name"):
        train_toy(TINY_HOLDOUT.model_copy(update=change), toy, uninterrupted)
    assert (uninterrupted / LAST).read_bytes() == before
    assert read_json(uninterrupted / RECIPE) == TINY_HOLDOUT.model_dump(mode="json")


def test_a_run_on_other_parts_or_images_is_refused(toy: Toy, uninterrupted: Path) -> None:
    with pytest.raises(UserError, match=r"made with parts\.detector = painted, this run needs drawn"):
        other_parts = replace(toy.parts, fingerprint={"detector": "drawn"})
        train_toy(TINY_HOLDOUT, Toy(toy.dataset, other_parts), uninterrupted)
    table, removed = toy.dataset.table, split_vehicles(toy.dataset, TINY_HOLDOUT).train["name"].iloc[0]
    dataset = replace(toy.dataset, table=table[table["name"] != removed].reset_index(drop=True), splits={})
    with pytest.raises(UserError, match="made with images = "):
        train_toy(TINY_HOLDOUT, Toy(dataset, toy.parts), uninterrupted)


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_damaged_checkpoint_is_refused(toy: Toy, uninterrupted: Path, tmp_path: Path, damage: str) -> None:
    data = bytearray((uninterrupted / LAST).read_bytes())
    data[-5] ^= 16
    (tmp_path / LAST).write_bytes(data if damage == "flip" else data[: len(data) // 2])
    with pytest.raises(UserError, match=r"last\.safetensors: (its content has changed|damaged)"):
        train_toy(TINY_HOLDOUT, toy, tmp_path)


def test_a_run_with_a_damaged_checkpoint_resumes_from_the_previous_one(
    toy: Toy, uninterrupted: Path, tmp_path: Path
) -> None:
    shutil.copytree(uninterrupted, tmp_path, dirs_exist_ok=True)
    (tmp_path / LAST).write_bytes((tmp_path / LAST).read_bytes()[:-1])
    with pytest.raises(UserError, match=r"last\.safetensors: .*; or delete .*last\.safetensors to resume from the "):
        train_toy(TINY_HOLDOUT, toy, tmp_path)
    assert read_checkpoint(tmp_path / PREVIOUS).metadata["epoch"] == 2
    (tmp_path / LAST).unlink()
    train_toy(TINY_HOLDOUT, toy, tmp_path)
    assert_same_run(tmp_path, uninterrupted)


def test_a_checkpoint_that_cannot_be_renamed_is_an_error_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / LAST).write_bytes(b"of the epoch before")
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(UserError, match=r"previous\.safetensors: cannot be written \(Input/output error\)"):
        save_last(start_state(TINY, 4, "cpu"), tmp_path, {})
    assert [path.name for path in tmp_path.iterdir()] == [LAST]
    assert (tmp_path / LAST).read_bytes() == b"of the epoch before"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_checkpoint(
    toy: Toy, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    criterion, calls = Criterion.__call__, []

    def broken(self: Criterion, *arguments: Any) -> dict[str, torch.Tensor]:
        calls.append(1)
        terms = criterion(self, *arguments)
        return terms | {"loss": terms["loss"] * value} if len(calls) == 5 else terms

    message = r"the loss is (nan|inf) in epoch 2; the last good checkpoint is kept.*of the batch: .*\.jpg"
    with monkeypatch.context() as patch:
        patch.setattr(Criterion, "__call__", broken)
        with pytest.raises(UserError, match=message):
            train_toy(TINY_HOLDOUT, toy, tmp_path)
    assert read_checkpoint(tmp_path / LAST).metadata["epoch"] == 1
    train_toy(TINY_HOLDOUT, toy, tmp_path)
    assert_same_run(tmp_path, uninterrupted)


def test_a_weight_that_is_not_finite_is_never_saved(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a gradient overflowed in an epoch's last step, whose loss was finite."""
    step = loop.training_step

    def broken(state: State, *arguments: Any) -> Any:
        terms = step(state, *arguments)
        if state.epoch == 0:
            return terms
        next(state.network.parameters()).data.fill_(math.inf)
        return {**terms, "loss": torch.zeros(())}

    monkeypatch.setattr(loop, "training_step", broken)
    with pytest.raises(UserError, match=r" is not finite after epoch 2; .* is kept; train with a lower"):
        train_toy(TINY_HOLDOUT, toy, tmp_path)
    assert read_checkpoint(tmp_path / LAST).metadata["epoch"] == 1
