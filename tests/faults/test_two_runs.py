"""Two runs with one output: the second is refused in one line and changes nothing, whichever command it is.

Every command that writes in several steps is here once; stage one, training, features and the renderer have more tests
of their own.
"""

import json
import os

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli import main
from data_cache.base.locks import run_lock
from helpers.places.reid import ONE_EPOCH, Place, assert_error
from helpers.toy.annotations import TINY as DETECTOR
from helpers.toy.annotations import toy_set as annotated_set
from helpers.toy.vehicles import Toy
from soak.inputs.texts import coco_document
from soak.trees import read_tree

WHERE = "--dataset folder --data-root {root} --runs {runs} --device cpu --workers 0"
COMMANDS = {  # as typed, and the folder of its lock
    "synth": ("synth --data-root {runs}/data --workers 0", "data/.synthetic.unfinished"),
    "parts train": (
        "parts train --annotations {runs}/parts/parts.json --recipe {runs}/tiny.json --runs {runs} --device cpu",
        "detector/tiny",
    ),
    "cache import": ("cache import --coco {runs}/coco.json --output {runs}/drawn.h5", "drawn.h5.shards"),
    "cache merge": ("cache merge {runs}/merged.h5 {runs}/folder/parts.h5", "merged.h5.shards"),
    "train": (f"train {WHERE} --recipe baseline", "folder/baseline"),
    "features": (f"features {WHERE} --recipe pgan", "folder/pgan/test/features.safetensors.blocks"),
    "evaluate": (f"evaluate {WHERE} --recipe pgan", "folder/pgan/test"),
    "evaluate --features": (f"evaluate {WHERE} --features {{runs}}/theirs.npz", "folder/theirs/test"),
}
QUICK = ("cache import", "cache merge", "evaluate --features")
pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.fixture(scope="module")
def place(toy: Toy, tiny_network: None, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The toy set with a trained network and the other files that the commands read."""
    place = Place(toy, tmp_path_factory.mktemp("runs"))
    annotated_set(place.runs / "parts", 4)
    (place.runs / "tiny.json").write_text(DETECTOR.model_dump_json())
    (place.runs / "coco.json").write_text(json.dumps(coco_document()))
    names = np.array(toy.dataset.names())
    features = np.random.default_rng(0).standard_normal((len(names), 4))
    np.savez(place.runs / "theirs.npz", names=names, features=features)
    place.train("--recipe", "pgan")
    return place


def run_command(place: Place, command: str) -> Result:
    options = ONE_EPOCH if command == "train" else []
    words = COMMANDS[command][0].format(root=place.toy.dataset.root, runs=place.runs).split()
    return CliRunner().invoke(main, [*words, *options])


@pytest.mark.parametrize("command", COMMANDS)
def test_a_second_run_is_refused_while_the_first_holds_the_lock(place: Place, command: str) -> None:
    folder = place.runs / COMMANDS[command][1]
    with run_lock(folder):
        before = read_tree(place.runs)
        assert_error(
            run_command(place, command), 1, f"{folder}: another run", str(os.getpid()), "wait for it or stop it"
        )
        assert read_tree(place.runs) == before


@pytest.mark.parametrize("command", QUICK)
def test_the_lock_of_a_dead_run_is_taken_over_and_removed(place: Place, command: str) -> None:
    folder = place.runs / COMMANDS[command][1]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".lock").write_text("elsewhere.example 17")
    result = run_command(place, command)
    assert result.exit_code == 0, result.output
    assert not (folder / ".lock").exists() and folder.exists() == (folder.suffix != ".shards")


def test_merging_keeps_the_shards_of_a_stopped_detection(place: Place) -> None:
    shards = place.runs / "merged.h5.shards"
    shards.mkdir(exist_ok=True)
    (shards / "000000.h5").write_bytes(b"of a stopped run")
    assert run_command(place, "cache merge").exit_code == 0
    assert [path.name for path in shards.iterdir()] == ["000000.h5"]
