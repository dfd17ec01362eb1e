"""What is not exactly the authors' network is refused in one line that names it, and none of its code is run."""

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
from reid.model.official import load_official_weights

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def whole() -> State:
    """A checkpoint on ResNet-18; not to be changed."""
    return official_state()


@pytest.fixture
def state(whole: State) -> State:
    """A copy of the names, to be spoilt."""
    return dict(whole)


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[[object], str]:
    """Return the one line, without the path, with which a value in model_best.pth is refused."""
    path = tmp_path / "model_best.pth"

    def refused(value: object) -> str:
        torch.save(value, path)
        with pytest.raises(UserError) as caught:
            load_official_weights(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: ") and len(message.splitlines()) == 1
        return message.removeprefix(f"{path}: ")

    return refused


def test_a_prefix_on_some_names_alone_is_not_a_wrapper(state: State, refusal: Callable[[object], str]) -> None:
    state["module.neck.weight"] = torch.zeros(1)
    assert "1 unexpected, first module.neck.weight" in refusal(state)


def test_what_differs_is_counted_and_named(state: State, refusal: Callable[[object], str]) -> None:
    del state["base.layer1.0.conv1.weight"], state["attention.0.ln1.bias"], state["refine_base.0.1.conv4.weight"]
    del state["bottleneck.0.weight"], state["base.bn1.running_mean"]
    state["base.fc.weight"] = torch.zeros(1000, 512)
    state["classifier.0.bias"] = torch.zeros(7)
    state["attention.0.linear1.weight_g"] = torch.ones(128, 1)
    state["refine_prop.0.0.fc.0.weight"] = torch.ones(32, 512)
    message = refusal(state)
    assert message.startswith("not PGAN's official weights on resnet18: 5 missing, first base.bn1.running_mean, ")
    assert "base.layer1.0.conv1.weight" in message and message.count("refine_base") == 0  # the first three alone
    assert "; 2 unexpected, first base.fc.weight, classifier.0.bias; 2 of another shape, first " in message
    assert "attention.0.linear1.weight_g (128, 1) for ()" in message
    assert "refine_prop.0.0.fc.0.weight (32, 512) for (64, 512)" in message


@pytest.mark.parametrize("name", ["base.conv1.weight", "base.bn1.running_var", "refine_prop.0.1.bn3.bias"])
def test_one_missing_tensor_is_named(state: State, refusal: Callable[[object], str], name: str) -> None:
    del state[name]
    assert refusal(state) == f"not PGAN's official weights on resnet18: 1 missing, first {name}"


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
        ({"bottleneck.0.weight": torch.zeros(44)}, "2C' is 44 there: Input should be a multiple of 8"),
        ({"bottleneck.0.weight": torch.zeros(0)}, "2C' is 0 there: Input should be greater than or equal to 8"),
        ({"bottleneck.0.weight": torch.zeros(()).expand(8_000_000)}, "of another shape"),
        ({"bottleneck.0.weight": torch.zeros(())}, "1 of another shape, first bottleneck.0.weight () for (32,)"),
        ({"base.layer3.2.conv1.weight": torch.zeros(1)}, "base.layer1 to base.layer4 hold 2, 2, 3, 2 blocks"),
    ],
)
def test_sizes_that_cannot_be_are_refused(
    state: State, refusal: Callable[[object], str], change: State, words: str
) -> None:
    assert words in refusal(state | change)


def test_other_networks_are_refused(refusal: Callable[[object], str]) -> None:
    for value in (models.resnet18().state_dict(), {}, {"state_dict": {}}):
        assert refusal(value).startswith("not PGAN's official weights: base.layer1 to base.layer4 hold 0, 0, 0, 0 bl")
    assert "no state dict" in refusal({"epoch": 3})
    assert "cannot be read as weights" in refusal(nn.Linear(2, 2))  # a whole module, which only code can unpack


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2))])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(
    state: State, tmp_path: Path, write: Callable[[object, Path], object]
) -> None:
    path, trace = tmp_path / "model_best.pth", tmp_path / "trace"
    write({"base.conv1.weight": state["base.conv1.weight"], "epoch": Attack(trace)}, path)
    with pytest.raises(UserError, match=r"model_best\.pth: cannot be read as weights"):
        load_official_weights(path)
    assert not trace.exists()


def test_a_damaged_file_or_none_is_one_line(whole: State, tmp_path: Path) -> None:
    path = tmp_path / "model_best.pth"
    for old in (False, True):
        torch.save(whole, path, _use_new_zipfile_serialization=not old)
        sound = path.read_bytes()
        for length in (0, 1, 100, len(sound) // 2, len(sound) - 1):
            path.write_bytes(sound[:length])
            with pytest.raises(UserError, match=r"model_best\.pth: cannot be read as weights") as caught:
                load_official_weights(path)
            assert "\n" not in str(caught.value)
    for absent in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(UserError, match=f"^{absent}: "):
            load_official_weights(absent)
