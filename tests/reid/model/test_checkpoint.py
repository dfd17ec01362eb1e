"""From a recipe to a network and back from a checkpoint: the same weights, or an error that names the file."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from data_cache.base.errors import UserError
from data_cache.base.tensors import save_tensors
from helpers.toy.vehicles import TINY, tiny_scale, tiny_trunk
from reid.model import checkpoint as network
from reid.model.backbones import TRUNKS
from reid.model.checkpoint import build_network, network_state, read_checkpoint, trained_network, untrained_networks
from reid.training.state import checkpoint_to_resume, restore, save, start_state

IDENTITY = {"kind": "re-identification", "recipe": TINY.model_dump(mode="json"), "vehicles": 8, "parts": {}}


@pytest.fixture(autouse=True, scope="module")
def tiny() -> Iterator[None]:
    with tiny_scale():
        yield


def test_a_resumed_training_does_not_need_the_weights_that_the_first_began_with(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []
    plain = network.build_trunk

    def noting(name: str, weights: str | None, *, tell: bool) -> torch.nn.Module:
        asked.append(weights)
        return plain(name, None, tell=tell)

    monkeypatch.setattr(network, "build_trunk", noting)
    recipe, checkpoint = TINY.model_copy(update={"trunk_weights": "gone.pth"}), read_checkpoint(saved)
    start_state(recipe, 8, "cpu")
    state = start_state(recipe, 8, "cpu", resumed=True)
    assert asked == ["gone.pth", None]
    restore(state, checkpoint)
    found, wanted = state.network.state_dict(), network_state(checkpoint)
    assert all(torch.equal(value, wanted[name]) for name, value in found.items())


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A checkpoint after one step of the optimiser."""
    state = start_state(TINY, 8, "cpu")
    state.network(*some_batch()).logits.square().sum().backward()
    state.optimizer.step()
    state.epoch, state.best = 2, 0.5
    save(state, tmp_path / "last.safetensors", IDENTITY, with_optimizer=True)
    return tmp_path / "last.safetensors"


def some_batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(4, 2, 2, 2, generator=generator).sort(dim=2).values
    return torch.randn(4, 3, 64, 64, generator=generator), corners.view(4, 2, 4), torch.ones(4, 2, dtype=torch.bool)


def test_a_recipe_gives_the_same_weights_and_leaves_the_callers_randomness_alone() -> None:
    torch.manual_seed(1)
    drawn = torch.get_rng_state()
    first = build_network(TINY, 8).state_dict()
    assert torch.equal(torch.get_rng_state(), drawn)
    torch.manual_seed(2)
    second = build_network(TINY, 8).state_dict()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    other = build_network(TINY.model_copy(update={"seed": 1}), 8).state_dict()
    assert not torch.equal(first["trunk.0.weight"], other["trunk.0.weight"])


def test_the_recipe_decides_the_shape_of_the_network() -> None:
    recipe = TINY.model_copy(update={"features": 64, "temperature": 3.0})
    network = build_network(recipe, 5)
    assert network.classifier.weight.shape == (5, 64) and network.attention.temperature == 3.0
    assert not hasattr(build_network(recipe.model_copy(update={"attention": "none"}), 5), "attention")


def test_a_checkpoint_gives_the_networks_output_back(saved: Path) -> None:
    state = start_state(TINY, 8, "cpu")
    checkpoint = read_checkpoint(saved)
    restore(state, checkpoint)
    network = trained_network(checkpoint)
    assert not network.training and checkpoint.recipe == TINY
    with torch.no_grad():
        for found, wanted in zip(network(*some_batch()), state.network.eval()(*some_batch()), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    assert set(network_state(checkpoint)) == set(network.state_dict())


def test_a_restored_state_is_the_saved_one_to_the_bit(saved: Path) -> None:
    state = start_state(TINY.model_copy(update={"seed": 9}), 8, "cpu")
    checkpoint = read_checkpoint(saved)
    restore(state, checkpoint)
    assert (state.epoch, state.best) == (2, 0.5)
    save(state, saved.with_name("again.safetensors"), IDENTITY, with_optimizer=True)
    assert read_checkpoint(saved.with_name("again.safetensors")).sha256 == checkpoint.sha256
    moments = state.optimizer.state_dict()["state"]
    assert moments and all(values["step"] == 1 and values["exp_avg_sq"].abs().sum() >= 0 for values in moments.values())


def test_what_training_starts_from(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = untrained_networks(TINY, 8)
    assert list(rows) == ["untrained", "trunk"] and not any(network.training for network in rows.values())
    built = build_network(TINY, 8).eval()
    with torch.no_grad():
        torch.testing.assert_close(rows["untrained"](*some_batch()).feature, built(*some_batch()).feature)
        pooled = built.trunk(some_batch()[0]).mean(dim=(2, 3))
        torch.testing.assert_close(rows["trunk"](*some_batch()).feature, pooled)


def test_a_trained_network_needs_no_weights_of_its_trunk(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []
    monkeypatch.setitem(TRUNKS, "resnet18", lambda weights: asked.append(weights) or tiny_trunk(weights))
    recipe = TINY.model_copy(update={"trunk_weights": "/gone.pth"})
    state = start_state(TINY, 8, "cpu")
    save(state, saved, IDENTITY | {"recipe": recipe.model_dump(mode="json")}, with_optimizer=False)
    asked.clear()
    trained_network(read_checkpoint(saved))
    assert asked == [None]


def test_every_cut_and_changed_byte_is_seen(saved: Path) -> None:
    sound, content = saved.read_bytes(), read_checkpoint(saved).sha256
    for length in (0, 1, 7, 8, 1000, len(sound) // 2, len(sound) - 1):
        saved.write_bytes(sound[:length])
        with pytest.raises(UserError, match=r"last\.safetensors: .*; delete .* and train again"):
            read_checkpoint(saved)
    for place in (*range(0, 9000, 61), *range(9000, len(sound), 9973), len(sound) - 1):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << (place % 8)
        saved.write_bytes(damaged)
        try:
            assert read_checkpoint(saved).sha256 == content  # white space around the header
        except UserError as error:
            assert str(error).startswith(str(saved))


def test_something_else_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    with pytest.raises(UserError, match=r"best\.safetensors: no such file; delete .* and train again"):
        read_checkpoint(path)
    save_tensors(path, {"a": torch.zeros(1)}, {"kind": "detector"})
    with pytest.raises(UserError, match="no checkpoint of a re-identification network"):
        read_checkpoint(path)


class Attack:
    """What a checkpoint must never get to do: it would make a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.trace,)


def test_a_pickle_in_the_place_of_a_checkpoint_does_not_run(tmp_path: Path) -> None:
    path, trace = tmp_path / "last.safetensors", tmp_path / "trace"
    for write in (lambda: path.write_bytes(pickle.dumps(Attack(trace))), lambda: torch.save(Attack(trace), path)):
        write()
        with pytest.raises(UserError, match=r"last\.safetensors: damaged, or not a file of this system"):
            read_checkpoint(path)
        with pytest.raises(UserError, match=r"last\.safetensors: damaged"):
            checkpoint_to_resume(tmp_path, IDENTITY)
        assert not trace.exists()


def test_nothing_to_resume_is_not_an_error(tmp_path: Path) -> None:
    assert checkpoint_to_resume(tmp_path, IDENTITY) is None
