import math
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from data_cache.base.errors import UserError
from data_cache.base.tensors import read_state_dict, save_tensors
from detect.model.weights import load_weights, put_in, read_recipe, write_weights
from helpers.toy.annotations import TINY


class Payload:
    """A pickle that would write a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.write_text, (self.path, "ran")


def test_weights_and_recipe_come_back(tmp_path: Path) -> None:
    first, second = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    write_weights(tmp_path / "w.safetensors", first, TINY)
    load_weights(tmp_path / "w.safetensors", second)
    assert read_recipe(tmp_path / "w.safetensors") == TINY
    assert torch.equal(first.weight, second.weight)


def test_a_file_that_is_no_detector_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    with pytest.raises(UserError, match="no such file"):
        read_recipe(path)
    for content in (b"", b"\xff" * 40, b"\x02\0\0\0\0\0\0\0[]"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="damaged, or not a file of this system"):
            read_recipe(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="damaged, or not a file of this system"):
        read_recipe(path)
    save_tensors(path, {"a": torch.zeros(1)}, {"kind": "re-identification"})
    with pytest.raises(UserError, match="not the weights of a part detector"):
        read_recipe(path)


def test_a_flipped_bit_in_the_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    write_weights(path, torch.nn.Linear(3, 2), TINY)
    damaged = bytearray(path.read_bytes())
    damaged[-5] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(UserError, match="its content has changed"):
        load_weights(path, torch.nn.Linear(3, 2))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    broken = torch.nn.Linear(3, 2)
    broken.bias.data[1] = value
    write_weights(tmp_path / "w.safetensors", broken, TINY)
    with pytest.raises(UserError, match=r"w\.safetensors: bias is not finite.*parts train"):
        load_weights(tmp_path / "w.safetensors", torch.nn.Linear(3, 2))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not fit the network"):
        put_in(tmp_path / "w", torch.nn.Linear(3, 2), {"weight": torch.zeros(2, 4), "bias": torch.zeros(2)})


def test_code_in_a_pickle_does_not_run(tmp_path: Path) -> None:
    path, mark = tmp_path / "w.pth", tmp_path / "mark"
    path.write_bytes(pickle.dumps({"state_dict": Payload(mark)}))
    with pytest.raises(UserError, match="cannot be read as weights"):
        read_state_dict(path)
    torch.save({"state_dict": Payload(mark)}, path)
    with pytest.raises(UserError, match="cannot be read as weights"):
        read_state_dict(path)
    assert not mark.exists()


def test_a_pth_of_tensors_is_read_with_or_without_its_wrapping(tmp_path: Path) -> None:
    for content in ({"a": torch.ones(2)}, {"state_dict": {"a": torch.ones(2)}}):
        torch.save(content, tmp_path / "w.pth")
        assert torch.equal(read_state_dict(tmp_path / "w.pth")["a"], torch.ones(2))
    torch.save([1, 2], tmp_path / "w.pth")
    with pytest.raises(UserError, match="holds no state dict"):
        read_state_dict(tmp_path / "w.pth")
