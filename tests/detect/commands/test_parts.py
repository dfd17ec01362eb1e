"""`parts train`: its options, and what it hands to the training."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import detect.training.train as detect_training
from cli import main
from detect.training.runs import WEIGHTS
from helpers.places.detect import shipping, toy_workspace
from helpers.toy.annotations import TINY


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with toy data and the detector demo, which is the shipped one too."""
    folder = toy_workspace(tmp_path_factory.mktemp("workspace"))
    with shipping(folder / "runs/detector/demo" / WEIGHTS):
        yield folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The recipe and the options of each call of the training, which does nothing."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(
        detect_training, "train_detector", lambda recipe, *_, **options: calls.append({"recipe": recipe, **options})
    )
    return calls


def train(workspace: Path, *options: str) -> str:
    """Run `parts train`, which succeeds; return what it printed."""
    data = ["--annotations", str(workspace / "data/parts.json"), "--runs", str(workspace / "new"), "--device", "cpu"]
    result = CliRunner().invoke(main, ["parts", "train", *data, *options])
    assert result.exit_code == 0, result.output
    return result.output


def tiny(workspace: Path) -> list[str]:
    """Return the option for a recipe of the network that is shipped here, at another size."""
    path = workspace / "tiny.json"
    path.write_text(TINY.model_copy(update={"input_size": 128, "epochs": 1}).model_dump_json())
    return ["--recipe", str(path)]


def test_training_starts_from_the_shipped_detector_if_it_fits(workspace: Path, asked: list[dict[str, Any]]) -> None:
    shipped = workspace / "runs/detector/demo" / WEIGHTS
    other = workspace / "other.safetensors"
    for options, start in (
        (tiny(workspace), shipped),
        ([*tiny(workspace), "--start", "shipped"], shipped),
        ([*tiny(workspace), "--start", "none"], None),
        ([*tiny(workspace), "--start", str(other)], other),
        ([*tiny(workspace), "--trunk-weights", "none"], None),
        ([*tiny(workspace), "--set", "trunk_weights=vgg16.pth"], None),
        ([*tiny(workspace), "--set", "widen_factor=0.25"], None),
        (["--recipe", "ssd320_resnet18"], None),
        (["--recipe", "ssd320_resnet18", "--start", "shipped"], shipped),  # the training refuses it: another test
    ):
        train(workspace, *options)
        assert asked.pop()["start"] == start, options


def test_a_start_that_does_not_fit_is_said(workspace: Path, asked: list[dict[str, Any]]) -> None:
    words = "not starting from the shipped detector, as the network of this recipe has other tensors"
    assert words in train(workspace, "--recipe", "ssd320_resnet18")
    assert words not in train(workspace, *tiny(workspace))
    assert len(asked) == 2


def test_trunk_weights_override_the_recipe(workspace: Path, asked: list[dict[str, Any]]) -> None:
    for more in ([], ["--trunk-weights", "none"], ["--trunk-weights", "vgg16.pth"]):
        train(workspace, "--recipe", "ssd300_vgg16", *more)
    assert [call["recipe"].trunk_weights for call in asked] == ["imagenet", None, "vgg16.pth"]


def test_trunk_weights_and_a_start_cannot_be_combined(workspace: Path) -> None:
    for given in (["--trunk-weights", "none"], ["--set", "trunk_weights=null"]):
        result = CliRunner().invoke(main, ["parts", "train", *given, "--start", "shipped"])
        assert result.exit_code == 2 and "cannot be combined" in result.output


def test_training_needs_annotations(workspace: Path) -> None:
    result = CliRunner().invoke(main, ["parts", "train", "--dataset", "folder", "--data-root", str(workspace / "data")])
    assert result.exit_code == 2 and "give --annotations FILE" in result.output
