import math
from pathlib import Path

import pytest
import torch

from data_cache.base.errors import UserError
from data_cache.base.tensors import save_tensors
from detect.model.weights import load_weights, read_recipe, write_weights
from helpers.toy.annotations import TINY


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A weights file of a linear layer."""
    write_weights(tmp_path / "w.safetensors", torch.nn.Linear(3, 2), TINY)
    return tmp_path / "w.safetensors"


def test_weights_and_recipe_round_trip(path: Path) -> None:
    first, second = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    write_weights(path, first, TINY)
    load_weights(path, second)
    assert read_recipe(path) == TINY
    assert torch.equal(first.weight, second.weight) and torch.equal(first.bias, second.bias)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "re-identification"}, "not the weights of a part detector"),
        ({"part_names": ["wheel"]}, r"trained on other parts \(\['wheel'\]\)"),
        ({"recipe": {"epochs": 1}}, "its recipe is of another version"),
    ],
)
def test_files_that_are_no_detector_are_rejected(path: Path, change: dict[str, object], message: str) -> None:
    from data_cache.base.tensors import load_tensors

    tensors, metadata, _ = load_tensors(path, "")
    save_tensors(path, tensors, metadata | change)
    with pytest.raises(UserError, match=message):
        read_recipe(path)


def test_a_flipped_bit_is_detected(path: Path) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[-5] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(UserError, match="its content has changed"):
        load_weights(path, torch.nn.Linear(3, 2))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_rejected(path: Path, value: float) -> None:
    broken = torch.nn.Linear(3, 2)
    broken.bias.data[1] = value
    write_weights(path, broken, TINY)
    with pytest.raises(UserError, match=r"w\.safetensors: bias is not finite.*choose another with --detector"):
        load_weights(path, torch.nn.Linear(3, 2))


def test_weights_of_another_network_are_rejected(path: Path) -> None:
    with pytest.raises(UserError, match=r"w\.safetensors: its tensors do not fit the network of the recipe"):
        load_weights(path, torch.nn.Linear(4, 2))
