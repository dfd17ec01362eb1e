"""Networks from recipes, and checkpoints that give the same network back or an error that names the file."""

import pickle
from pathlib import Path

import pytest
import torch

from data_cache.base.errors import UserError
from data_cache.base.tensors import save_tensors
from helpers.faults.attack import Attack
from helpers.toy.vehicles import TINY, tiny_backbone
from reid.model.backbones import BACKBONES
from reid.model.checkpoint import build_network, network_state, read_checkpoint, trained_network, untrained_networks
from reid.recipes import ReidRecipe
from reid.runs import BEST
from reid.training.state import checkpoint_to_resume, restore, save, start_state

IDENTITY = {"kind": "re-identification", "recipe": TINY.model_dump(mode="json"), "vehicles": 8, "parts": {}}

pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A checkpoint after one step of the optimizer."""
    state = start_state(TINY, 8, "cpu")
    state.network(*random_batch()).logits.square().sum().backward()
    state.optimizer.step()
    state.epoch, state.best = 2, 0.5
    save(state, tmp_path / "last.safetensors", IDENTITY, with_optimizer=True)
    return tmp_path / "last.safetensors"


def random_batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(4, 2, 2, 2, generator=generator).sort(dim=2).values
    return torch.randn(4, 3, 64, 64, generator=generator), corners.view(4, 2, 4), torch.ones(4, 2, dtype=torch.bool)


def test_a_recipe_gives_the_same_weights_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = build_network(TINY, 8).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    second = build_network(TINY, 8).state_dict()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    other = build_network(TINY.model_copy(update={"seed": 1}), 8).state_dict()
    assert not torch.equal(first["trunk.0.weight"], other["trunk.0.weight"])


def test_the_recipe_determines_the_shape_of_the_network() -> None:
    recipe = TINY.model_copy(update={"features": 64, "temperature": 3.0})
    network = build_network(recipe, 5)
    assert network.classifier.weight.shape == (5, 64) and network.attention.temperature == 3.0
    assert not hasattr(build_network(recipe.model_copy(update={"attention": "none"}), 5), "attention")


def test_a_checkpoint_gives_the_network_back(saved: Path) -> None:
    state, checkpoint = start_state(TINY, 8, "cpu"), read_checkpoint(saved)
    restore(state, checkpoint)
    network = trained_network(checkpoint)
    assert not network.training and checkpoint.recipe == TINY
    with torch.no_grad():
        for found, expected in zip(network(*random_batch()), state.network.eval()(*random_batch()), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert set(network_state(checkpoint)) == set(network.state_dict())


def test_a_restored_state_is_the_saved_one_to_the_bit(saved: Path) -> None:
    state, checkpoint = start_state(TINY.model_copy(update={"seed": 9}), 8, "cpu"), read_checkpoint(saved)
    restore(state, checkpoint)
    assert (state.epoch, state.best) == (2, 0.5)
    save(state, saved.with_name("again.safetensors"), IDENTITY, with_optimizer=True)
    assert read_checkpoint(saved.with_name("again.safetensors")).sha256 == checkpoint.sha256
    moments = state.optimizer.state_dict()["state"]
    assert moments and all(values["step"] == 1 for values in moments.values())


def test_untrained_networks_are_the_initial_network_and_its_pooled_backbone() -> None:
    networks = untrained_networks(TINY, 8)
    assert list(networks) == ["untrained", "trunk"] and not any(network.training for network in networks.values())
    built = build_network(TINY, 8).eval()
    with torch.no_grad():
        torch.testing.assert_close(networks["untrained"].embed(*random_batch())[0], built(*random_batch()).feature)
        feature, attention = networks["trunk"].embed(*random_batch())
        torch.testing.assert_close(feature, built.trunk(random_batch()[0]).mean(dim=(2, 3)))
    assert attention.shape == (4, 2) and not attention.any()


def test_a_checkpoint_needs_no_pretrained_weights(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requested: list[str | None] = []
    monkeypatch.setitem(BACKBONES, "resnet18", lambda weights: requested.append(weights) or tiny_backbone(None))
    recipe, state = TINY.model_copy(update={"trunk_weights": "/gone.pth"}), start_state(TINY, 8, "cpu")
    save(state, saved, IDENTITY | {"recipe": recipe.model_dump(mode="json")}, with_optimizer=True)
    requested.clear()
    trained_network(read_checkpoint(saved))
    start_state(recipe, 8, "cpu")
    resumed = start_state(recipe, 8, "cpu", resumed=True)
    assert requested == [None, "/gone.pth", None]
    restore(resumed, read_checkpoint(saved))
    expected = state.network.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in resumed.network.state_dict().items())


def test_truncated_and_modified_files_are_refused(saved: Path) -> None:
    sound, content = saved.read_bytes(), read_checkpoint(saved).sha256
    for length in (0, 1, 7, 8, 1000, len(sound) // 2, len(sound) - 1):
        saved.write_bytes(sound[:length])
        with pytest.raises(UserError, match=r"last\.safetensors: .*; delete .* and train again"):
            read_checkpoint(saved)
    for position in (*range(0, 9000, 61), *range(9000, len(sound), 9973), len(sound) - 1):
        damaged = bytearray(sound)
        damaged[position] ^= 1 << (position % 8)
        saved.write_bytes(damaged)
        try:
            assert read_checkpoint(saved).sha256 == content  # white space around the header
        except UserError as error:
            assert str(error).startswith(str(saved))


def test_files_that_are_no_checkpoint_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    with pytest.raises(UserError, match=r"best\.safetensors: no such file; delete .* and train again"):
        read_checkpoint(path)
    save_tensors(path, {"a": torch.zeros(1)}, {"kind": "detector"})
    with pytest.raises(UserError, match="no checkpoint of a re-identification network"):
        read_checkpoint(path)


def test_a_pickle_under_the_name_of_a_checkpoint_does_not_run(tmp_path: Path) -> None:
    path, trace = tmp_path / "last.safetensors", tmp_path / "trace"
    for write in (lambda: path.write_bytes(pickle.dumps(Attack(trace))), lambda: torch.save(Attack(trace), path)):
        write()
        with pytest.raises(UserError, match=r"last\.safetensors: damaged, or not "):
            checkpoint_to_resume(tmp_path, IDENTITY)
        assert not trace.exists()


def test_an_empty_folder_has_nothing_to_resume(tmp_path: Path) -> None:
    assert checkpoint_to_resume(tmp_path, IDENTITY) is None


PLUS = TINY.model_copy(update={"attention": "none", "part_crops": 32, "slot_features": 8})


def started(recipe: ReidRecipe, source: Path) -> dict[str, torch.Tensor]:
    """The state dict of a network that starts from another."""
    return build_network(recipe.model_copy(update={"start": str(source)}), 5).state_dict()


def trained_folder(recipe: ReidRecipe, folder: Path) -> dict[str, torch.Tensor]:
    """Write a checkpoint of other weights than those of the seed into a folder; return its state dict."""
    state = start_state(recipe.model_copy(update={"seed": 9}), 8, "cpu")
    metadata = {"kind": "re-identification", "recipe": recipe.model_dump(mode="json"), "vehicles": 8}
    save(state, folder / BEST, metadata)
    return state.network.state_dict()


@pytest.mark.parametrize("recipe", [TINY, PLUS], ids=["pgan", "plus"])
def test_a_network_starts_from_all_but_the_classes_of_another(recipe: ReidRecipe, tmp_path: Path) -> None:
    source, fresh = trained_folder(recipe, tmp_path), build_network(recipe, 5).state_dict()
    for path in (tmp_path, tmp_path / BEST):
        for name, value in started(recipe, path).items():
            torch.testing.assert_close(value, fresh[name] if "classifier" in name else source[name])


def test_plus_starts_from_a_baseline_as_its_whole(tmp_path: Path) -> None:
    baseline = TINY.model_copy(update={"attention": "none"})
    source, fresh = trained_folder(baseline, tmp_path), build_network(PLUS, 5).state_dict()
    for name, value in started(PLUS, tmp_path).items():
        own = name.removeprefix("whole.")
        taken = own != name and "classifier" not in name
        torch.testing.assert_close(value, source[own] if taken else fresh[name])


def test_a_baseline_starts_from_the_whole_of_plus(tmp_path: Path) -> None:
    baseline = TINY.model_copy(update={"attention": "none"})
    source, fresh = trained_folder(PLUS, tmp_path), build_network(baseline, 5).state_dict()
    for name, value in started(baseline, tmp_path).items():
        torch.testing.assert_close(value, fresh[name] if "classifier" in name else source[f"whole.{name}"])


def test_what_does_not_fit_stays_random_and_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = trained_folder(TINY, tmp_path)
    wider = TINY.model_copy(update={"features": 2 * TINY.features})
    found = started(wider, tmp_path)
    assert all(torch.equal(value, source[name]) for name, value in found.items() if name.startswith("trunk."))
    assert "random: refine_fusion, refine_global, refine_part, neck, and the classes" in caplog.text


def test_another_backbone_is_refused(tmp_path: Path) -> None:
    trained_folder(TINY.model_copy(update={"trunk": "mobilenet_v2"}), tmp_path)
    with pytest.raises(UserError, match=r"a network on mobilenet_v2, not on resnet18; choose another start"):
        started(TINY, tmp_path)
    with pytest.raises(UserError, match=r"nowhere: no such file"):
        started(TINY, tmp_path / "nowhere")
