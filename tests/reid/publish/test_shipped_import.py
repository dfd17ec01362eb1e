"""The network that ships with the package: the committed file, its import as a run, and damaged installations."""

import json
import os
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from cli import main
from data_cache.base.errors import UserError
from data_cache.base.files import sha256_of_file
from data_cache.base.tensors import save_tensors
from helpers.paths import ROOT
from helpers.places.api import shipping_network
from helpers.places.reid import assert_error
from helpers.toy.vehicles import TINY
from reid import shipped
from reid.evaluation.calibration import FILE, CalibratedRun, read_calibration
from reid.model.checkpoint import build_network, in_half_precision, network_tensors, read_checkpoint, trained_network
from reid.recipes import ReidRecipe
from reid.retrieval.open_set import Calibration
from reid.runs import BEST, LAST, chosen_run

Run = Callable[..., Result]
LARGEST = 15_000_000  # bytes


def write_checkpoint(path: Path, recipe: ReidRecipe = TINY, seed: int = 1) -> Path:
    """Write an untrained network with the metadata of a trained one."""
    metadata = {
        "kind": "re-identification",
        "recipe": recipe.model_dump(mode="json"),
        "dataset": "photographs",
        "vehicles": 8,
        "parts": {"weights_sha256": "d" * 64},
        "epoch": 3,
        "best": 0.5,
    }
    network = build_network(recipe.model_copy(update={"seed": seed}), 8, pretrained=False)
    save_tensors(path, network_tensors(network), metadata)
    return path


@pytest.fixture
def ships(tmp_path: Path, tiny: None) -> Iterator[Path]:
    """A toy network that ships with the package, which a test may damage."""
    with shipping_network(write_checkpoint(tmp_path / "package/network.safetensors")) as path:
        yield path


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def invoke(*words: str) -> Result:
        options = ["--dataset", "folder", "--runs", str(tmp_path / "runs")]
        result = CliRunner().invoke(main, [words[0], *options, *words[1:]])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return invoke


def test_the_committed_file_is_the_one_in_the_code_and_a_small_network_without_plates() -> None:
    assert sha256_of_file(shipped.weights()) == shipped.SHA256
    assert shipped.PATH.stat().st_size <= LARGEST
    checkpoint = read_checkpoint(shipped.weights())
    assert "plate" in checkpoint.recipe.hide
    assert "/" not in json.dumps(checkpoint.metadata["recipe"])  # no folder of the machine that made it
    network = trained_network(checkpoint)
    images = torch.rand(2, 3, *checkpoint.recipe.input_size, generator=torch.Generator().manual_seed(0))
    feature, _ = network.embed(images, torch.zeros(2, 0, 4), torch.zeros(2, 0, dtype=torch.bool))
    assert feature.shape == (2, checkpoint.recipe.feature_length) and feature.isfinite().all()


def test_the_package_contains_the_file_and_its_card() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["reid"]
    carried = {path for pattern in data for path in (ROOT / "reid").glob(pattern)}
    assert carried == {shipped.PATH, *(shipped.PATH.with_name(name) for name in (FILE, "MODEL_CARD.md"))}
    assert read_calibration(shipped.PATH.parent, read_checkpoint(shipped.PATH).sha256) is not None


def test_it_becomes_a_run_with_the_same_tensors_that_is_not_tied_to_boxes(
    tmp_path: Path, ships: Path, run: Run
) -> None:
    best = tmp_path / "runs/folder/shipped" / BEST
    assert json.loads(run("import-weights", "--shipped", "--json").stdout) == {"output": str(best), "written": True}
    source, imported = read_checkpoint(ships), read_checkpoint(best)
    assert imported.tensors.keys() == source.tensors.keys()
    assert all(torch.equal(value, source.tensors[name]) for name, value in imported.tensors.items())
    assert "parts" not in imported.metadata and imported.recipe == source.recipe
    assert imported.metadata["source"] == {
        "weights": "that ship with the package",
        "sha256": sha256_of_file(ships),
        "trained_on": "photographs",
    }
    written = best.stat().st_mtime_ns
    again = run("import-weights", "--shipped")
    assert again.stdout == f"{best}\n" and "already imported, nothing was written" in again.stderr
    assert best.stat().st_mtime_ns == written


def test_its_calibration_goes_with_it(tmp_path: Path, ships: Path, run: Run) -> None:
    model = Calibration((0.0,) * 5, (1.0,) * 5, (-9.0,) * 5, (9.0,) * 5, (1.0,) * 5, 0.0, 0.4)
    CalibratedRun(model, read_checkpoint(ships).sha256, "f1", 9, {}).write(ships.parent)
    run("import-weights", "--shipped")
    folder = tmp_path / "runs/folder/shipped"
    found = read_calibration(folder, read_checkpoint(folder / BEST).sha256)
    assert found is not None and found.calibration == model
    (folder / "calibration.json").unlink()  # as if it was stopped before
    run("import-weights", "--shipped")
    assert read_calibration(folder, read_checkpoint(folder / BEST).sha256) == found


@pytest.mark.parametrize("name", [BEST, LAST])
def test_another_network_in_its_place_is_kept(tmp_path: Path, ships: Path, run: Run, name: str) -> None:
    other = write_checkpoint(tmp_path / "runs/folder/shipped" / name, seed=2)
    content = other.read_bytes()
    assert_error(run("import-weights", "--shipped"), 1, "runs/folder/shipped", "delete")
    assert other.read_bytes() == content


@pytest.mark.usefixtures("ships")
def test_wrong_options_are_refused(tmp_path: Path, run: Run) -> None:
    (tmp_path / "w.pth").write_bytes(b"")
    official = ("--official", str(tmp_path / "w.pth"))
    assert_error(run("import-weights"), 2, "one of --official and --shipped")
    assert_error(run("import-weights", "--shipped", *official), 2, "one of --official and --shipped")
    for option in (("--name", "mine"), ("--parts-depth", "4")):
        assert_error(run("import-weights", "--shipped", *option), 2, "are for --official")
    assert_error(run("train", "--name", "shipped"), 2, "'shipped' cannot name a run")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("damage", ["flipped", "missing"])
def test_a_damaged_installation_is_one_line_with_the_remedy(ships: Path, run: Run, damage: str) -> None:
    if damage == "missing":
        ships.unlink()
    else:
        ships.write_bytes(ships.read_bytes()[:-1] + b"x")
    remedy = "install the package again, or train a network of your own"
    assert_error(run("import-weights", "--shipped"), 1, str(ships), remedy)


@pytest.mark.usefixtures("tiny")
def test_a_trained_run_goes_before_the_shipped_one_of_any_age(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    mine, ours = (write_checkpoint(runs / "folder" / name / BEST).parent for name in ("mine", "shipped"))
    os.utime(mine / BEST, (1, 1))
    assert chosen_run(runs, "folder", None) == mine
    assert chosen_run(runs, "folder", "shipped") == ours
    (mine / BEST).unlink()
    assert chosen_run(runs, "folder", None) == ours


def test_a_training_starts_from_it(ships: Path) -> None:
    network = build_network(TINY.model_copy(update={"start": "shipped", "features": 64}), 5)
    trunk = {
        name: value for name, value in trained_network(read_checkpoint(ships)).state_dict().items() if "trunk" in name
    }
    assert trunk and all(torch.equal(network.state_dict()[name], value) for name, value in trunk.items())


@pytest.mark.usefixtures("tiny")
def test_half_precision_gives_nearly_the_same_features_and_names_no_folder(tmp_path: Path) -> None:
    recipe = TINY.model_copy(update={"trunk_weights": "/home/me/resnet.pth", "start": "/home/me/runs/best.safetensors"})
    whole = read_checkpoint(write_checkpoint(tmp_path / BEST, recipe))
    half = in_half_precision(whole)
    assert (half.recipe.trunk_weights, half.recipe.start) == ("resnet.pth", None)
    assert half.sha256 != whole.sha256
    save_tensors(tmp_path / "half.safetensors", half.tensors, half.metadata)
    assert read_checkpoint(tmp_path / "half.safetensors").sha256 == half.sha256
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * (tmp_path / BEST).stat().st_size
    images, boxes = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)), torch.rand(3, 2, 2).sort()[0]
    boxes = torch.cat([boxes[..., :1], boxes[..., :1] * 0.5, boxes[..., 1:], boxes[..., 1:]], dim=2)
    features = [
        trained_network(one).embed(images, boxes, torch.ones(3, 2, dtype=torch.bool))[0] for one in (whole, half)
    ]
    assert all(feature.dtype == torch.float32 for feature in features)
    assert torch.cosine_similarity(*features).min() > 0.9999


@pytest.mark.usefixtures("tiny")
def test_values_beyond_float16_are_refused(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(write_checkpoint(tmp_path / BEST))
    name = next(name for name, value in checkpoint.tensors.items() if value.ndim > 1)
    checkpoint.tensors[name].view(-1)[0] = 1e6
    with pytest.raises(UserError, match=r"is not finite in float16; export it without --half"):
        in_half_precision(checkpoint)
