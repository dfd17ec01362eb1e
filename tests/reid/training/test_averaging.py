"""The moving average of the weights: against one written by hand, in training, resuming and the best network."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from data_cache.base.errors import UserError
from data_cache.base.files import read_json_lines
from helpers.toy.vehicles import TINY, TINY_HOLDOUT, Toy, assert_same_run, interrupted, train_toy
from reid.data.loader import split_vehicles
from reid.model.checkpoint import PREFIX, WHOLE, build_network, network_state, read_checkpoint, trained_network
from reid.publish.program import ExportedNetwork, random_inputs
from reid.recipes import ReidRecipe
from reid.runs import BEST, LAST, PREVIOUS
from reid.training import loop
from reid.training import state as state_module
from reid.training.averaging import WeightAverage
from reid.training.log import LOG
from reid.training.state import MOMENTS, TRAINED, State, restore, save, start_state
from reid.training.validation import Holdout

AVERAGED = TINY_HOLDOUT.model_copy(update={"average": 0.6, "epochs": 5})  # the warm-up of the decay ends at step 14
STRONG = AVERAGED.model_copy(  # the options of this preset, of which the average is one
    update={
        "attention": "none",
        "part_crops": 32,
        "slot_features": 8,
        "flip_test": True,
        "label_smoothing": 0.1,
        "identity_weight": 4.0,
    }
)

pytestmark = pytest.mark.usefixtures("tiny_network")


class StopHere(Exception):
    """Interrupts a run at a chosen moment."""


@pytest.fixture(scope="module")
def averaged(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("averaged")
    train_toy(AVERAGED, toy, folder)
    return folder


def recorded_states(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """Return a list to which the training that follows adds the network's tensors, at its start and after each step."""
    step, states = loop.training_step, []

    def recorded(state: State, *arguments: Any) -> Any:
        if not states:
            states.append({name: value.clone() for name, value in state.network.state_dict().items()})
        terms = step(state, *arguments)
        states.append({name: value.clone() for name, value in state.network.state_dict().items()})
        return terms

    monkeypatch.setattr(loop, "training_step", recorded)
    return states


def literal_average(states: list[dict[str, Tensor]], decay: float) -> dict[str, Tensor]:
    """The average in float64: a = d a + (1 - d) w with d = min(decay, t / (t + 9)); integers are those of the end."""
    average = {name: value.double() for name, value in states[0].items()}
    for step, state in enumerate(states[1:], start=1):
        kept = min(decay, step / (step + 9))
        for name, value in state.items():
            average[name] = kept * average[name] + (1 - kept) * value if value.is_floating_point() else value.double()
    return average


@pytest.mark.parametrize(("recipe", "whole"), [(AVERAGED, ""), (STRONG, WHOLE)], ids=["pgan", "strong"])
def test_the_best_network_is_the_average_written_by_hand(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: ReidRecipe, whole: str
) -> None:
    states = recorded_states(monkeypatch)
    train_toy(recipe.model_copy(update={"holdout": 0.0}), toy, tmp_path)
    expected = literal_average(states, AVERAGED.average)
    best = read_checkpoint(tmp_path / BEST)
    assert len(states) == 21 and best.metadata["epoch"] == 5
    assert set(network_state(best)) == set(expected) == set(states[0])
    for name, value in network_state(best).items():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6, msg=name)
        assert value.dtype == states[0][name].dtype
    assert network_state(best)[f"{whole}neck.num_batches_tracked"] == 20
    moved = [name for name, value in states[-1].items() if not torch.equal(value, network_state(best)[name])]
    own = ("classifier.weight", "neck.weight", "neck.running_mean", "neck.running_var")
    assert {whole + name for name in own} <= set(moved)
    if whole:
        assert {"scale", "slot_classifier.weight", "classifier.weight", "slots.projections"} <= set(moved)


def test_the_decay_grows_from_a_tenth_to_its_value() -> None:
    network = build_network(TINY, 4)
    average, weight = WeightAverage(network, 0.25), network.classifier.weight
    with torch.no_grad():
        weight.fill_(0.0)
        average.network.classifier.weight.fill_(1.0)
    kept = []
    for _ in range(5):
        before = float(average.network.classifier.weight[0, 0])
        average.update(network)
        kept.append(float(average.network.classifier.weight[0, 0]) / before)
    assert kept == pytest.approx([1 / 10, 2 / 11, 3 / 12, 0.25, 0.25], rel=1e-5) and average.steps == 5


def test_the_average_of_weights_that_do_not_change_is_these_weights() -> None:
    network = build_network(TINY, 4)
    average = WeightAverage(network, 0.9)
    for _ in range(3):
        average.update(network)
    values = network.state_dict()
    assert all(torch.equal(value, values[name]) for name, value in average.network.state_dict().items())
    own = {value.data_ptr() for value in values.values()}
    assert not own & {value.data_ptr() for value in average.network.state_dict().values()}
    assert not average.network.training and not any(p.requires_grad for p in average.network.parameters())


def test_averaging_does_not_change_the_weights_that_are_trained(toy: Toy, averaged: Path, tmp_path: Path) -> None:
    train_toy(AVERAGED.model_copy(update={"average": 0.0}), toy, tmp_path)
    plain, last = read_checkpoint(tmp_path / LAST), read_checkpoint(averaged / LAST)
    trained = network_state(last, TRAINED)
    assert set(trained) == set(network_state(plain))
    assert all(torch.equal(value, trained[name]) for name, value in network_state(plain).items())
    moments = {name for name in plain.tensors if name.startswith(MOMENTS)}
    assert all(torch.equal(plain.tensors[name], last.tensors[name]) for name in moments)
    assert set(last.tensors) == set(plain.tensors) | {TRAINED + name for name in trained}
    assert "averaged_steps" not in plain.metadata and last.metadata["averaged_steps"] == 15


def test_the_average_is_what_is_validated_saved_as_best_and_exported(toy: Toy, averaged: Path) -> None:
    scores = {line["epoch"]: line["validation_mAP"] for line in read_json_lines(averaged / LOG)}
    best, last = read_checkpoint(averaged / BEST), read_checkpoint(averaged / LAST)
    assert best.metadata["epoch"] == max(scores, key=lambda epoch: (scores[epoch], -epoch))
    assert all(name.startswith(PREFIX) for name in best.tensors) and "averaged_steps" not in best.metadata
    holdout = Holdout(toy.dataset, split_vehicles(toy.dataset, AVERAGED).held_out, toy.parts, AVERAGED, "cpu", 0)
    assert holdout(trained_network(best))["validation_mAP"] == pytest.approx(max(scores.values()))
    assert holdout(trained_network(last))["validation_mAP"] == pytest.approx(scores[5])
    state = start_state(AVERAGED, 6, "cpu", resumed=True)
    restore(state, last)
    assert state.average is not None and state.result is state.average.network
    assert not torch.equal(state.result.neck.weight, state.network.neck.weight)
    inputs = random_inputs(AVERAGED, 2)
    with torch.inference_mode():
        exported, _ = ExportedNetwork(trained_network(last))(*inputs.values())
        averages, _ = ExportedNetwork(state.result)(*inputs.values())
    torch.testing.assert_close(exported, averages)


STOPS: dict[str, tuple[ModuleType, str, Callable[..., bool]]] = {
    "in the middle of the second epoch": (loop, "training_step", lambda state, *_: state.epoch == 1),
    "after the best of the third epoch": (loop, "log_epoch", lambda folder, line: line["epoch"] == 3),
    "between two checkpoints": (state_module, "save", lambda state, path, _: state.epoch == 2 and path.name == LAST),
    "in the last epoch, the decay at its value": (loop, "training_step", lambda state, *_: state.epoch == 4),
}


@pytest.mark.parametrize("moment", STOPS)
def test_an_interrupted_run_resumes_to_the_same_bits(toy: Toy, averaged: Path, tmp_path: Path, moment: str) -> None:
    module, name, when = STOPS[moment]
    with interrupted(module, name, when, StopHere), pytest.raises(StopHere):
        train_toy(AVERAGED, toy, tmp_path)
    train_toy(AVERAGED, toy, tmp_path)
    assert_same_run(tmp_path, averaged)
    assert read_checkpoint(tmp_path / PREVIOUS).metadata["averaged_steps"] == 12


def test_a_run_of_another_decay_is_refused(toy: Toy, averaged: Path) -> None:
    with pytest.raises(UserError, match=r"made with recipe\.average = 0\.6, this run needs 0\.5"):
        train_toy(AVERAGED.model_copy(update={"average": 0.5}), toy, averaged)
    with pytest.raises(UserError, match=r"made with recipe\.average = 0\.6, this run needs None"):
        train_toy(AVERAGED.model_copy(update={"average": 0.0}), toy, averaged)


def test_a_checkpoint_without_the_weights_beside_their_average_cannot_be_resumed_from(tmp_path: Path) -> None:
    recipe = TINY.model_copy(update={"average": 0.9})
    identity = {"kind": "re-identification", "recipe": recipe.model_dump(mode="json"), "vehicles": 4, "parts": {}}
    plain, path = start_state(TINY, 4, "cpu"), tmp_path / LAST
    save(plain, path, identity, with_optimizer=True)
    with pytest.raises(UserError, match=r"last\.safetensors: cannot be resumed from \(.*delete it to train anew"):
        restore(start_state(recipe, 4, "cpu"), read_checkpoint(path))
    restore(start_state(TINY, 4, "cpu"), read_checkpoint(path))
    state = start_state(recipe, 4, "cpu")
    save(state, path, identity, with_optimizer=True)
    restored = start_state(recipe, 4, "cpu")
    restore(restored, read_checkpoint(path))
    save(restored, tmp_path / "again.safetensors", identity, with_optimizer=True)
    assert read_checkpoint(path).sha256 == read_checkpoint(tmp_path / "again.safetensors").sha256


def test_an_average_that_is_not_finite_is_never_saved(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = loop.training_step

    def broken(state: State, *arguments: Any) -> Any:
        if state.epoch == 1:
            next(state.network.parameters()).data.fill_(float("inf"))
        return {**step(state, *arguments), "loss": torch.zeros(())}

    monkeypatch.setattr(loop, "training_step", broken)
    with pytest.raises(UserError, match=r" is not finite after epoch 2; .* is kept; train with a lower"):
        train_toy(AVERAGED, toy, tmp_path)
    assert read_checkpoint(tmp_path / LAST).metadata["epoch"] == 1


def test_every_loss_trains_with_an_average(toy: Toy, tmp_path: Path) -> None:
    changes = {"identity_loss": "arcface", "metric_loss": "circle", "label_smoothing": 0.1, "average": 0.9}
    for attention in ("parts", "none"):
        recipe = TINY.model_copy(update={**changes, "attention": attention, "epochs": 4, "erase": 0.0})
        best = train_toy(recipe, toy, tmp_path / attention)
        lines = read_json_lines(tmp_path / attention / LOG)
        assert lines[-1]["loss"] < 0.9 * lines[0]["loss"]
        vectors = ["fusion", "global", "part"] if attention == "parts" else ["fusion"]
        for line in lines:
            assert line["loss"] == pytest.approx(2 * line["identity"] + sum(line[name] for name in vectors))
        assert read_checkpoint(best).recipe == recipe
