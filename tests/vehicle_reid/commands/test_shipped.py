"""The network that ships with the package searches where nothing was trained, and gives way to one that was."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli import main
from helpers.places.api import ToyRun, shipping_network
from helpers.places.detect import shipping
from reid.runs import BEST
from vehicle_reid import Gallery, VehicleReID

Run = Callable[..., Result]
SAID = "nothing is trained on folder: using the shipped network"


@pytest.fixture
def ships(toy_run: ToyRun) -> Iterator[None]:
    """The trained toy run ships with the package, and so does its detector."""
    with shipping_network(toy_run.folder / BEST), shipping(toy_run.model().weights()):
        yield


@pytest.fixture
def run(toy_run: ToyRun, tmp_path: Path) -> Run:
    """Run `gallery COMMAND` with a runs folder that holds no network, on the images of the toy set."""

    def invoke(command: str, *words: str, runs: Path = tmp_path / "runs") -> Result:
        options = ["--dataset", "folder", "--runs", str(runs), "--device", "cpu"]
        if command == "build":
            options += ["--images", str(toy_run.root / "images"), "--workers", "0"]
        result = CliRunner().invoke(main, ["gallery", command, *options, *words])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return invoke


@pytest.mark.usefixtures("ships")
def test_a_gallery_is_built_and_searched_without_any_training(toy_run: ToyRun, run: Run, tmp_path: Path) -> None:
    built = run("build")
    assert built.exit_code == 0, built.output
    assert SAID in built.stderr
    folder = tmp_path / "runs/folder/shipped"
    gallery = Gallery.load(folder / "gallery", VehicleReID.load(folder, device="cpu"))
    assert len(gallery) == len(toy_run.toy.dataset.names())
    found = run("search", str(toy_run.photos()[0]), "-k", "1")
    assert found.exit_code == 0 and SAID in found.stderr
    assert toy_run.photos()[0].name in found.stdout


@pytest.mark.usefixtures("ships")
def test_a_trained_network_goes_first_unless_the_shipped_one_is_named(
    toy_run: ToyRun, run: Run, tmp_path: Path
) -> None:
    runs = Path(shutil.copytree(toy_run.runs, tmp_path / "copy"))
    built = run("build", runs=runs)
    assert built.exit_code == 0 and SAID not in built.stderr
    assert not (runs / "folder/shipped").exists()
    named = run("build", "--run", "shipped", runs=runs)
    assert named.exit_code == 0 and SAID not in named.stderr
    assert (runs / "folder/shipped/gallery").exists()


@pytest.mark.usefixtures("ships")
def test_python_loads_it_without_a_run(toy_run: ToyRun) -> None:
    photos = toy_run.photos()[:2]
    features = [np.stack(model.embed(photos)["feature"].tolist()) for model in (VehicleReID.load(), toy_run.model())]
    np.testing.assert_array_equal(*features)


@pytest.mark.usefixtures("ships")
def test_it_is_scored_as_the_run_that_it_was(toy_run: ToyRun, tmp_path: Path) -> None:
    runs = Path(shutil.copytree(toy_run.runs, tmp_path / "copy"))
    where = ["--dataset", "folder", "--runs", str(runs)]
    imported = CliRunner().invoke(main, ["import-weights", "--shipped", *where])
    assert imported.exit_code == 0, imported.output
    scores = []
    for run in ("tiny", "shipped"):
        words = ["evaluate", *where, "--data-root", str(toy_run.root), "--run", run, "--device", "cpu", "--json"]
        result = CliRunner().invoke(main, [*words, "--workers", "0"])
        assert result.exit_code == 0, result.output
        scores.append(json.loads(result.stdout)["scores"])
    assert scores[0] == scores[1]
