"""The authors' weights give the authors' features; compared with a second implementation under their names."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from helpers.naive.official import official_output, official_state
from helpers.toy.vehicles import one_thread
from reid.model.official import read_official
from reid.model.pgan import PGAN

State = dict[str, Tensor]


@pytest.fixture(autouse=True, scope="module")
def single_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def whole() -> State:
    """A checkpoint on ResNet-18, shared by the tests: do not modify."""
    return official_state()


@pytest.fixture
def load(tmp_path: Path) -> Callable[[object], PGAN]:
    """Return a function that writes a value as model_best.pth and loads the network."""

    def written(value: object) -> PGAN:
        torch.save(value, tmp_path / "model_best.pth")
        return read_official(tmp_path / "model_best.pth").network

    return written


def random_input(size: int, parts: int = 4, count: int = 2, seed: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Images, boxes on borders of cells, and their masks by a loop."""
    random, grid = torch.Generator().manual_seed(seed), size // 16
    low = torch.randint(0, grid, (count, parts, 2), generator=random)
    high = (low + torch.randint(1, grid + 1, (count, parts, 2), generator=random)).clamp(max=grid)
    masks = torch.zeros(count, parts, grid, grid)
    for image in range(count):
        for part in range(parts):
            (left, top), (right, bottom) = low[image, part].tolist(), high[image, part].tolist()
            masks[image, part, top:bottom, left:right] = 1
    return torch.randn(count, 3, size, size, generator=random), torch.cat([low, high], dim=2) / grid, masks


def outputs(network: PGAN, size: int = 64, count: int = 2) -> dict[str, Tensor]:
    images, boxes, masks = random_input(size, count=count)
    with torch.no_grad():
        found = network(images.to(network.classifier.weight.dtype), boxes, masks.sum((2, 3)) > 0)
    return {name: value.clone() for name, value in found._asdict().items()}


def in_float64(state: State) -> State:
    return {name: value.double() if value.is_floating_point() else value for name, value in state.items()}


def distance(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize(
    ("layers", "size", "embed", "vehicles"), [(18, 224, 16, 7), (34, 64, 24, 3), (50, 64, 16, 576)], ids=str
)
def test_the_output_is_that_of_the_authors_network(
    load: Callable[[object], PGAN], layers: int, size: int, embed: int, vehicles: int
) -> None:
    state = official_state(layers, embed=embed, vehicles=vehicles, seed=layers)
    network = load(state)
    images, _, masks = random_input(size)
    expected = official_output(state, images, masks)
    assert expected["feature"].shape == (2, 2 * embed) and expected["logits"].shape == (2, vehicles)
    assert expected["attention"].std() > 0.01
    for name, value in outputs(network, size).items():
        assert distance(value, expected[name]) < 1e-4, name
    exact = official_output(in_float64(state), images.double(), masks.double())
    for name, value in outputs(network.double(), size).items():
        # only the softmax is computed in float32
        assert distance(value, exact[name]) < (1e-12 if name == "global_" else 1e-6), name


@pytest.mark.parametrize("layers", [50, 101, 152])
def test_backbone_and_sizes_are_read_from_names_and_shapes(tmp_path: Path, layers: int) -> None:
    state = official_state(layers, embed=8, vehicles=5)
    hollow = {name: torch.zeros(1, dtype=value.dtype).squeeze().expand(value.shape) for name, value in state.items()}
    torch.save(hollow, tmp_path / "w.pth")
    official = read_official(tmp_path / "w.pth")
    assert (official.recipe.trunk, official.recipe.features) == (f"resnet{layers}", 16)
    assert (official.vehicles, official.used, official.remarks) == (5, len(state), ())
    assert official.network.trunk.channels == 2048


def test_the_tensors_of_the_network_are_exactly_those_of_the_file(whole: State, load: Callable[[object], PGAN]) -> None:
    loaded = {(*value.shape, value.numpy().tobytes()) for value in load(whole).state_dict().values()}
    saved = {(*value.shape, value.numpy().tobytes()) for value in whole.values()}
    assert len(saved) == len(whole) and loaded == saved


def test_all_wrappers_and_formats_give_the_same_network(whole: State, tmp_path: Path) -> None:
    parallel = {f"module.{name}": value for name, value in whole.items()}
    forms: dict[str, object] = {"plain": whole, "parallel": parallel, "float64": in_float64(whole)}
    forms |= {"wrapped": {"state_dict": whole, "epoch": 130}, "both": {"state_dict": parallel}}
    for name, value in forms.items():
        torch.save(value, tmp_path / f"{name}.pth")
    torch.save(whole, tmp_path / "old.pth", _use_new_zipfile_serialization=False)  # what torch 1.0 wrote
    save_file(whole, tmp_path / "safe.safetensors")
    expected = outputs(read_official(tmp_path / "plain.pth").network)
    for path in tmp_path.iterdir():
        network = read_official(path).network
        assert all(torch.equal(value, expected[name]) for name, value in outputs(network).items()), path.name


@pytest.mark.parametrize(
    ("wrapper", "prefix", "remark"),
    [
        ("state_dict", "module.", "took `state_dict`, prefix `module.` removed"),
        ("model", "", "took `model`"),
        ("net", "net.", "took `net`, prefix `net.` removed"),
        ("", "base.", "prefix `base.` removed"),
        ("", "_orig_mod.", "`_orig_mod.` removed from names"),
    ],
)
def test_what_was_unwrapped_is_remarked(whole: State, tmp_path: Path, wrapper: str, prefix: str, remark: str) -> None:
    state = {prefix + name: value for name, value in whole.items()}
    averaged = {name: value + 1 for name, value in state.items()}
    content = {wrapper: state, "best_mAP": np.float64(0.8), f"{wrapper}_ema": averaged} if wrapper else state
    torch.save(content, tmp_path / "w.pth")
    official = read_official(tmp_path / "w.pth")
    assert (official.remarks, official.used) == ((remark,), len(whole))
    assert torch.equal(official.network.neck.weight, whole["bottleneck.0.weight"])


def test_missing_counters_are_remarked(whole: State, tmp_path: Path) -> None:
    counters = [name for name in whole if name.endswith("num_batches_tracked")]
    torch.save({name: value for name, value in whole.items() if name not in counters}, tmp_path / "w.pth")
    official = read_official(tmp_path / "w.pth")
    assert official.remarks[0].startswith(f"it lacks {len(counters)} counters of batch norm")
    state = official.network.state_dict()
    assert all(value == 0 for name, value in state.items() if name.endswith("num_batches_tracked"))


def test_a_missing_classifier_is_remarked(whole: State, load: Callable[[object], PGAN], tmp_path: Path) -> None:
    expected = outputs(load(whole))
    state = {name: value for name, value in whole.items() if name != "classifier.0.weight"}
    found = outputs(load(state))
    assert torch.equal(found.pop("logits"), torch.zeros(2, 1))
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
    official = read_official(tmp_path / "model_best.pth")
    assert official.vehicles is None and official.used == len(state)
    assert official.remarks[0].startswith("it holds no classifier: the features are the authors'")


def test_the_network_is_in_evaluation_mode(whole: State, load: Callable[[object], PGAN]) -> None:
    network = load(whole)
    assert not any(module.training for module in network.modules())
    assert all(torch.isfinite(value).all() for value in outputs(network).values())
