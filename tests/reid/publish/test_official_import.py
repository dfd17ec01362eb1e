"""The command `import-weights`: the authors' network becomes a run, and no other run is overwritten."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from cli import main
from data_cache.base.files import read_json
from data_cache.base.tensors import save_tensors
from helpers.naive.official import official_output, official_state
from helpers.toy.masks import npy, rectangles
from helpers.toy.vehicles import one_thread, toy_set
from reid.features.file import read_features
from reid.model.checkpoint import read_checkpoint, trained_network
from reid.model.official import read_official
from reid.recipes import ReidRecipe
from reid.runs import BEST, LAST

Run = Callable[..., Result]


@pytest.fixture(autouse=True, scope="module")
def single_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("authors") / "model_best.pth"
    torch.save(official_state(vehicles=7), path)
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: Path) -> Run:
    """Run commands in an empty folder: by default `import-weights` of the authors' weights."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, source: Path = weights) -> Result:
        command = (
            words
            if words[0] in ("cache", "evaluate", "report")
            else (*("import-weights", "--official", str(source)), *words)
        )
        result = CliRunner().invoke(main, command)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


def error(result: Result, code: int = 1) -> str:
    """Return the one line of an error."""
    assert result.exit_code == code and result.stdout == "", result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    return line


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_run_contains_the_network_and_its_recipe(run: Run, weights: Path) -> None:
    result = run("--dataset", "veri")
    assert result.exit_code == 0 and result.stderr == ""
    folder = Path("runs/veri/official")
    assert result.stdout == (
        f"{folder / BEST}: resnet18, 2C' = 32, 7 vehicles, D = 8; all 195 tensors of model_best.pth are used\n"
    )
    assert set(files(folder)) == {BEST, "recipe.json", "command.json"}
    checkpoint = read_checkpoint(folder / BEST)
    assert read_json(folder / "recipe.json") == checkpoint.metadata["recipe"]
    assert (checkpoint.metadata["dataset"], checkpoint.metadata["vehicles"]) == ("veri", 7)
    found, expected = trained_network(checkpoint).state_dict(), read_official(weights).network.state_dict()
    assert list(found) == list(expected) and all(torch.equal(found[name], value) for name, value in expected.items())


@pytest.mark.parametrize(("dataset", "weight"), [("veri", 2.0), ("vehicleid", 1.0)])
def test_the_recipe_is_the_authors_configuration(run: Run, dataset: str, weight: float) -> None:
    assert run("--dataset", dataset, "--parts-depth", "5", "--name", "five", "--runs", "out").exit_code == 0
    recipe = read_checkpoint(Path("out") / dataset / "five" / BEST).recipe
    assert (recipe.trunk, recipe.features, recipe.parts, recipe.identity_weight) == ("resnet18", 32, 5, weight)
    assert (recipe.attention, recipe.temperature, recipe.image_size, recipe.holdout) == ("parts", 10, 224, 0)
    stored = read_json(Path("out") / dataset / "five" / "recipe.json")
    assert stored == recipe.model_dump(mode="json") and stored["lambda"] == weight
    own = {"trunk", "features", "parts", "lambda", "holdout"}
    assert {name: value for name, value in stored.items() if name not in own} == {
        name: value for name, value in ReidRecipe().model_dump(mode="json").items() if name not in own
    }


def test_repeating_an_import_writes_nothing(run: Run) -> None:
    run("--dataset", "veri")
    folder = Path("runs/veri/official")
    before, stamp = files(folder), (folder / BEST).stat().st_mtime_ns
    result = run("--dataset", "veri", "--json")
    assert result.exit_code == 0 and result.stderr == f"{folder}: already imported, nothing was written\n"
    assert json.loads(result.stdout) == {
        "output": str(folder / BEST),
        "trunk": "resnet18",
        "features": 32,
        "vehicles": 7,
        "parts": 8,
        "tensors": 195,
        "remarks": [],
        "written": False,
    }
    assert files(folder) == before and (folder / BEST).stat().st_mtime_ns == stamp


def test_another_network_is_never_overwritten(run: Run, tmp_path: Path) -> None:
    run("--dataset", "veri")
    folder = Path("runs/veri/official")
    before = files(folder)
    remedy = f"delete {folder}, or choose another --name"
    message = error(run("--dataset", "veri", "--parts-depth", "4"))
    assert message == f"Error: {folder / BEST}: made with recipe.parts = 8, this run needs 4; {remedy}"
    torch.save(official_state(vehicles=7, seed=1), tmp_path / "other.pth")
    message = error(run("--dataset", "veri", source=tmp_path / "other.pth"))
    assert "made with source.sha256 = " in message and message.endswith(remedy)
    assert files(folder) == before
    checkpoint = read_checkpoint(folder / BEST)
    changed = dict(checkpoint.tensors) | {"model.neck.weight": torch.ones(32)}
    save_tensors(folder / BEST, changed, checkpoint.metadata)
    assert "made with tensors = " in error(run("--dataset", "veri"))
    (folder / BEST).write_bytes(b"cut")
    assert error(run("--dataset", "veri")).endswith(remedy)
    assert (folder / BEST).read_bytes() == b"cut"


def test_an_unfinished_training_is_not_overwritten(run: Run) -> None:
    folder = Path("runs/veri/official")
    folder.mkdir(parents=True)
    (folder / LAST).write_bytes(b"training")
    assert error(run("--dataset", "veri")).startswith(f"Error: {folder}: contains a trained network; delete")
    assert files(folder) == {LAST: b"training"}


def test_a_missing_classifier_is_reported(run: Run, tmp_path: Path) -> None:
    state = official_state()
    kept = {name: value for name, value in state.items() if not name.startswith("classifier")}
    torch.save({name: value for name, value in kept.items() if "tracked" not in name}, tmp_path / "part.pth")
    result = run("--dataset", "veri", source=tmp_path / "part.pth")
    assert result.exit_code == 0 and "2C' = 32, no classifier, D = 8; all 164 tensors of part.pth" in result.stdout
    assert "it holds no classifier: the features are the authors', the logits mean nothing" in result.stderr
    assert "it lacks 30 counters of batch norm" in result.stderr
    checkpoint = read_checkpoint(Path("runs/veri/official") / BEST)
    assert checkpoint.metadata["source"]["classifier"] is False
    assert not trained_network(checkpoint).classifier.weight.any()
    assert json.loads(run("--dataset", "veri", "--json", source=tmp_path / "part.pth").stdout)["vehicles"] is None


def test_mistakes_are_one_line_and_create_no_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("no weights")
    assert "text.pth: cannot be read as weights" in error(run("--dataset", "veri", source=tmp_path / "text.pth"))
    assert "absent.pth: no such file" in error(run("--dataset", "veri", source=tmp_path / "absent.pth"))
    for name in ("", ".", "..", "a/b", "../up", "mine.yaml", "ablation", "pgan"):
        error(run("--dataset", "veri", "--name", name), code=2)
    for options in (["--parts-depth", "-1"], ["--parts-depth", "65"], ["--nonsense"]):
        error(run("--dataset", "veri", *options), code=2)
    assert CliRunner().invoke(main, ["import-weights"]).exit_code == 2
    assert {path.name for path in tmp_path.iterdir()} == {"text.pth"}


def test_imported_weights_and_masks_give_the_authors_features(run: Run, weights: Path, tmp_path: Path) -> None:
    """With the authors' masks and weights, the features equal those of their forward pass."""
    dataset = toy_set(tmp_path / "set", trained=2, tested=2, images=2).dataset
    masks = {name: rectangles(10, seed) for seed, name in enumerate(dataset.names())}
    for name, array in masks.items():
        path = (tmp_path / "masks" / name).with_suffix(".npy")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(npy(array))
    where = ("--dataset", "folder", "--data-root", str(dataset.root))
    assert run("cache", "import", "--masks", "masks", *where).exit_code == 0
    assert run("--dataset", "folder").exit_code == 0
    options = (*where, "--recipe", "official")
    result = run("evaluate", *options, "--workers", "0", "--device", "cpu", "--json")
    assert result.exit_code == 0, result.output
    metrics = read_json(Path("runs/folder/official/test/metrics.json"))
    assert json.loads(result.stdout) == metrics and metrics["recipe_name"] == "official"
    checkpoint = read_checkpoint(Path("runs/folder/official") / BEST)
    assert metrics["checkpoint"] == {
        "file": BEST,
        "sha256": checkpoint.sha256,
        "epoch": None,
        "source": checkpoint.metadata["source"],
    }
    found = read_features(Path("runs/folder/official/test/features.safetensors"))
    state = torch.load(weights, weights_only=True)
    for row, name in enumerate(found.names):
        with torch.no_grad():
            expected = official_output(
                state, pixels(dataset.path(name)), torch.from_numpy(masks[name][None, -8:]).float()
            )
        feature = expected["feature"][0].numpy()
        assert found.matrix[row] @ feature / np.linalg.norm(feature) > 0.999, name  # bfloat16
        np.testing.assert_allclose(found.attention[row], expected["attention"][0].numpy()[::-1], atol=0.03)
    assert run("report", *options).exit_code == 0
    page = Path("runs/folder/official/test/report.html").read_text(encoding="utf-8")
    assert f"cli.py import-weights --dataset folder --runs runs --official {weights}" in page
    assert "cli.py train" not in page and f"<dd>{BEST}</dd>" in page


def pixels(path: Path) -> torch.Tensor:
    """Return an image preprocessed as by the authors: 224 x 224 bilinear, ImageNet normalisation."""
    square = np.array(Image.open(path).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR), dtype=np.float32)
    values: Any = (square / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    return torch.from_numpy(values).float().permute(2, 0, 1)[None]
