"""The `export` command: its files, and one-line errors."""

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
    result = CliRunner().invoke(main, ["export", "--dataset", "folder", "--runs", str(place.runs), *options])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@needs_onnx
@pytest.mark.usefixtures("tiny")
def test_every_format_of_a_trained_run(place: Place) -> None:
    best = place.train("--recipe", "pgan_small")
    checkpoint, folder = read_checkpoint(best), best.parent / "export"
    files = {
        "safetensors": ["network.safetensors", "recipe.yaml", "model-card.md"],
        "pt2": ["network.pt2"],
        "onnx": ["network.onnx"],
    }
    for kind, names in files.items():
        result = export(place, "--format", kind, "--json")
        assert result.exit_code == 0, result.output
        output = json.loads(result.stdout)
        assert output["files"] == [str(folder / name) for name in names]
        assert output["weights_sha256"] == checkpoint.sha256
        assert kind == "safetensors" or output["beside_pytorch"]["lowest_cosine_of_features"] >= 0.99999
    assert {path.name for path in folder.iterdir()} == {name for names in files.values() for name in names}
    assert read_checkpoint(best).sha256 == checkpoint.sha256


@pytest.mark.usefixtures("tiny")
def test_a_mistake_is_a_one_line_error(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = ("--what", "detector")
    assert_error(export(place, "--format", "pt2"), 1, "no trained network", "cli.py train --dataset folder")
    assert_error(
        export(place, *detector, "--detector", "x", "--format", "onnx"), 1, "no trained detector", "choose another"
    )
    absent = ("--detector", "absent.safetensors", "--format", "pt2")
    assert_error(export(place, *detector, *absent), 1, "absent.safetensors: no such file")
    monkeypatch.setattr(programs, "ONNX_PACKAGES", ("a_missing_package",))
    best = place.train("--recipe", "pgan_small")
    assert_error(export(place, "--format", "onnx"), 1, "a_missing_package", "pip install '.[onnx]'")
    weights = (*detector, "--detector", str(best))
    assert_error(export(place, *weights, "--format", "pt2"), 1, "best.safetensors: not the weights of a part detector")
    (best.parent / "export").write_bytes(Path(__file__).read_bytes())
    for kind in ("safetensors", "pt2"):
        assert_error(export(place, "--format", kind), 1, "export", "cannot be written")
    best.write_bytes(b"no checkpoint")
    assert_error(export(place, "--format", "safetensors"), 1, "best.safetensors: damaged")


@pytest.mark.parametrize(
    "options",
    [
        ["--format", "torchscript"],
        ["--format", "pt2", "--what", "all"],
        ["--format", "pt2", "--detector", "w.safetensors"],
        ["--format", "pt2", "--what", "detector", "--recipe", "demo"],
    ],
)
def test_wrong_usage_exits_with_2(place: Place, options: list[str]) -> None:
    assert_error(export(place, *options), 2)
