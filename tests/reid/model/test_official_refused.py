"""Files that are not exactly the authors' network are refused with one line, and no code in them runs."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from data_cache.base.errors import UserError
from helpers.faults.attack import Attack
from helpers.naive.official import official_state
from reid.model.official import read_official

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def whole() -> State:
    """A checkpoint on ResNet-18, shared by the tests: do not modify."""
    return official_state()


@pytest.fixture
def state(whole: State) -> State:
    """A shallow copy to modify."""
    return dict(whole)


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[[object], str]:
    """Return a function that returns the error, without the path, for a value in model_best.pth."""
    path = tmp_path / "model_best.pth"

    def refused(value: object) -> str:
        torch.save(value, path)
        with pytest.raises(UserError) as caught:
            read_official(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: ") and len(message.splitlines()) == 1
        return message.removeprefix(f"{path}: ")

    return refused


def test_a_prefix_on_only_some_names_is_not_removed(state: State, refusal: Callable[[object], str]) -> None:
    state["module.neck.weight"] = torch.zeros(1)
    assert "1 unexpected, first module.neck.weight" in refusal(state)


def test_a_module_beside_the_network_is_refused(state: State, refusal: Callable[[object], str]) -> None:
    """Every tensor must be used, also those outside the prefix."""
    wrapped = {f"module.{name}": value for name, value in state.items()}
    assert "1 unexpected, first extra.weight" in refusal(wrapped | {"extra.weight": torch.zeros(1)})


def test_weights_that_are_not_finite_are_refused(state: State, refusal: Callable[[object], str]) -> None:
    state["base.bn1.weight"] = torch.full((64,), float("nan"))
    assert refusal(state).startswith("base.bn1.weight is not finite")


def test_differences_are_counted_and_named(state: State, refusal: Callable[[object], str]) -> None:
    del state["base.layer1.0.conv1.weight"], state["attention.0.ln1.bias"], state["refine_base.0.1.conv4.weight"]
    del state["bottleneck.0.weight"], state["base.bn1.running_mean"]
    state["base.fc.weight"] = torch.zeros(1000, 512)
    state["classifier.0.bias"] = torch.zeros(7)
    state["attention.0.linear1.weight_g"] = torch.ones(128, 1)
    state["refine_prop.0.0.fc.0.weight"] = torch.ones(32, 512)
    message = refusal(state)
    assert message.startswith("not PGAN's official weights on resnet18: 5 missing, first base.bn1.running_mean, ")
    assert (
        "base.layer1.0.conv1.weight" in message and message.count("refine_base") == 0
    )  # only the first three are named
    assert "; 2 unexpected, first base.fc.weight, classifier.0.bias; 2 of another shape, first " in message
    assert "attention.0.linear1.weight_g (128, 1) for ()" in message
    assert "refine_prop.0.0.fc.0.weight (32, 512) for (64, 512)" in message


@pytest.mark.parametrize("rows", [0, 6])
def test_a_classifier_of_another_shape_is_refused(state: State, refusal: Callable[[object], str], rows: int) -> None:
    state["classifier.0.weight"] = torch.zeros(rows, 48)
    assert f"1 of another shape, first classifier.0.weight ({rows}, 48) for ({rows or 1}, 32)" in refusal(state)


def test_several_levels_are_refused(state: State, refusal: Callable[[object], str]) -> None:
    state |= {name.replace("attention.0.", "attention.1."): value for name, value in state.items()}
    assert refusal(state).startswith("a network of 2 levels (attention.1; the authors' MULTI_NUMS 2), only")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bottleneck.0.weight": torch.zeros(44)}, "2C' is 44: Input should be a multiple of 8"),
        ({"bottleneck.0.weight": torch.zeros(0)}, "2C' is 0: Input should be greater than or equal to 8"),
        ({"bottleneck.0.weight": torch.zeros(()).expand(8_000_000)}, "of another shape"),
        ({"bottleneck.0.weight": torch.zeros(())}, "1 of another shape, first bottleneck.0.weight () for (32,)"),
        ({"base.layer3.2.conv1.weight": torch.zeros(1)}, "base.layer1 to base.layer4 have 2, 2, 3, 2 blocks"),
    ],
)
def test_impossible_sizes_are_refused(
    state: State, refusal: Callable[[object], str], change: State, words: str
) -> None:
    assert words in refusal(state | change)


def test_other_networks_are_refused(refusal: Callable[[object], str]) -> None:
    message = refusal(models.resnet18().state_dict())
    assert message.startswith("not PGAN's official weights, which start with base.conv1.weight; the file holds 122 ten")
    assert "first conv1.weight (64, 3, 7, 7), " in message
    for value in ({"epoch": 3}, {}, {"state_dict": {}}):
        assert "no state dict" in refusal(value)
    assert "cannot be read as weights" in refusal(nn.Linear(2, 2))  # a whole module: unpickling it would run code


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2))])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(
    state: State, tmp_path: Path, write: Callable[[object, Path], object]
) -> None:
    path, trace = tmp_path / "model_best.pth", tmp_path / "trace"
    write({"base.conv1.weight": state["base.conv1.weight"], "epoch": Attack(trace)}, path)
    with pytest.raises(UserError, match=r"model_best\.pth: cannot be read as weights"):
        read_official(path)
    assert not trace.exists()
