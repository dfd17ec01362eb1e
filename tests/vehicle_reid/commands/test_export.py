"""`export` as typed: its files, and one line for every mistake."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli import main
from data_cache.base import export as programs
from helpers.places.exported import needs_onnx
from helpers.places.reid import Place, assert_error
from reid.model.checkpoint import read_checkpoint


def export(place: Place, *options: str) -> Result:
    where = ["--dataset", "folder", "--runs", str(place.runs)]
    result = CliRunner().invoke(main, ["export", *where, *options])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@needs_onnx
@pytest.mark.usefixtures("tiny")
def test_every_format_of_a_trained_run(place: Place) -> None:
    best = place.train("--recipe", "pgan_small")
    checkpoint, folder = read_checkpoint(best), best.parent / "export"
    wanted = {
        "safetensors": ["network.safetensors", "recipe.yaml", "model-card.md"],
        "pt2": ["network.pt2"],
        "onnx": ["network.onnx"],
    }
    for kind, names in wanted.items():
        result = export(place, "--recipe", "pgan_small", "--format", kind, "--json")
        assert result.exit_code == 0, result.output
        told = json.loads(result.stdout)
        assert told["files"] == [str(folder / name) for name in names]
        assert told["weights_sha256"] == checkpoint.sha256
        assert kind == "safetensors" or told["beside_pytorch"]["lowest_cosine_of_features"] >= 0.99999
    assert {path.name for path in folder.iterdir()} == {name for names in wanted.values() for name in names}
    assert read_checkpoint(best).sha256 == checkpoint.sha256


@pytest.mark.usefixtures("tiny")
def test_the_newest_run_is_taken_and_told_in_lines(place: Place) -> None:
    place.train("--recipe", "pgan_small")
    folder = place.train("--recipe", "grid_small", "--set", "attention=grid").parent / "export"
    result = export(place, "--format", "pt2")
    assert result.exit_code == 0, result.output
    first, second = result.stdout.splitlines()
    assert first == str(folder / "network.pt2") and (folder / "network.pt2").exists()
    assert second.startswith("beside PyTorch, random images: lowest cosine of features")


@pytest.mark.usefixtures("tiny")
def test_a_mistake_is_one_line(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_error(export(place, "--format", "pt2"), 1, "no trained network", "cli.py train --dataset folder")
    assert_error(
        export(place, "--what", "detector", "--format", "onnx"), 1, "no trained detector", "cli.py parts train"
    )
    absent = ["--what", "detector", "--weights", "absent.safetensors", "--format", "pt2"]
    assert_error(export(place, *absent), 1, "absent.safetensors: no such file")
    monkeypatch.setattr(programs, "ONNX_PACKAGES", ("onnx_that_is_not_there",))
    best = place.train("--recipe", "pgan_small")
    assert_error(export(place, "--format", "onnx"), 1, "onnx_that_is_not_there", "pip install '.[onnx]'")
    detector = ["--what", "detector", "--weights", str(best)]
    assert_error(export(place, *detector, "--format", "onnx"), 1, "pip install '.[onnx]'")
    assert_error(export(place, *detector, "--format", "pt2"), 1, "best.safetensors: not the weights of a part detector")
    best.write_bytes(b"no checkpoint")
    assert_error(export(place, "--format", "safetensors"), 1, "best.safetensors: damaged")


@pytest.mark.parametrize(
    "options",
    [
        ["--format", "torchscript"],
        ["--format", "pt2", "--what", "all"],
        ["--format", "pt2", "--weights", "w.safetensors"],
        ["--format", "safetensors", "--what", "detector", "--weights", "w.safetensors"],
    ],
)
def test_wrong_usage_is_exit_2(place: Place, options: list[str]) -> None:
    assert_error(export(place, *options), 2)


def test_the_format_is_asked_for(place: Place) -> None:
    result = export(place)
    assert result.exit_code == 2 and "Missing option '--format'" in result.stderr


@pytest.mark.usefixtures("tiny")
def test_a_folder_that_cannot_be_made_is_told(place: Place) -> None:
    folder = place.train("--recipe", "pgan_small").parent
    (folder / "export").write_bytes(Path(__file__).read_bytes())
    for kind in ("safetensors", "pt2"):
        assert_error(export(place, "--format", kind), 1, "export", "cannot be written")
