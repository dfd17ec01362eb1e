"""The state of a training, saved to checkpoints and restored from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from data_cache.base.errors import UserError, printable
from data_cache.base.tensors import read_metadata, save_tensors
from data_cache.parts.fingerprints import require_fingerprint
from reid.distributed import rank_count
from reid.model.checkpoint import (
    Checkpoint,
    TrainedNetwork,
    build_network,
    network_state,
    network_tensors,
    read_checkpoint,
)
from reid.recipes import ReidRecipe
from reid.runs import BEST, LAST, PREVIOUS, checkpoint_to_continue
from reid.training.averaging import WeightAverage
from reid.training.losses import Criterion, Margin, Objective

MOMENTS = "optimiser."  # prefix of the optimizer's tensors in a checkpoint
TRAINED = "trained."  # of the weights that the optimizer changes, beside their average


@dataclass
class State:
    """Everything that changes during training; all randomness is a function of (seed, epoch, position).

    `objective` runs `network`, possibly compiled, and the loss; with several processes it averages their gradients.
    `average` follows its weights, if the recipe asks for it.
    """

    network: TrainedNetwork
    objective: nn.Module
    optimizer: torch.optim.Adam
    average: WeightAverage | None = None
    epoch: int = 0  # finished epochs
    best: float = -1.0  # best mAP on the held-out vehicles

    @property
    def result(self) -> TrainedNetwork:
        """The network that is validated and used after training: the average, if there is one."""
        return self.network if self.average is None else self.average.network


def start_state(
    recipe: ReidRecipe, vehicles: int, device: str, *, compiled: bool = False, resumed: bool = False
) -> State:
    """Return the state before the first epoch; `vehicles` is the number of classes.

    If `resumed`, the backbone is random and a checkpoint must replace it: the pretrained weights may be gone by then.
    With several processes, gradients are averaged, and on GPUs the statistics of batch norm too. torch has no such
    batch norm for CPUs: there each process normalises its own share, and the first one's running statistics are saved.
    """
    network = build_network(recipe, vehicles, pretrained=not resumed).to(device).to(memory_format=torch.channels_last)
    if rank_count() > 1 and device == "cuda":
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trainable, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)
    criterion = Criterion(
        recipe.identity_weight,
        recipe.margin,
        recipe.triplets,
        label_smoothing=recipe.label_smoothing,
        arc=Margin(recipe.arc_margin, recipe.arc_scale) if recipe.identity_loss == "arcface" else None,
        circle=Margin(recipe.circle_margin, recipe.circle_scale) if recipe.metric_loss == "circle" else None,
        slot_weight=recipe.slot_weight,
    )
    forward: Any = torch.compile(network) if compiled else network
    objective: nn.Module = Objective(forward, criterion)
    if rank_count() > 1:
        objective = DistributedDataParallel(objective, find_unused_parameters=_has_unused_parameters(recipe))
    return State(network, objective, optimizer, WeightAverage(network, recipe.average) if recipe.average else None)


def _has_unused_parameters(recipe: ReidRecipe) -> bool:
    """Return whether the loss ignores a part of the network: a branch without triplets, or one without parts."""
    if recipe.part_crops:
        return True  # all images of a process may be without parts
    if recipe.attention == "none":
        return False
    return not {"global", "part"} <= set(recipe.triplets) or (recipe.attention == "parts" and recipe.parts == 0)


def save(state: State, path: Path, identity: Mapping[str, Any], *, with_optimizer: bool = False) -> None:
    """Write the state to a checkpoint; `identity` describes recipe and data.

    The network in the file is `state.result`. With the optimizer the file also has what else resuming needs.
    """
    tensors = network_tensors(state.result)
    metadata = {**identity, "epoch": state.epoch, "best": state.best}
    if with_optimizer:
        if state.average is not None:
            tensors |= {TRAINED + name: value for name, value in state.network.state_dict().items()}
            metadata["averaged_steps"] = state.average.steps
        for number, values in state.optimizer.state_dict()["state"].items():
            tensors |= {f"{MOMENTS}{number}.{name}": value for name, value in values.items()}
    save_tensors(path, tensors, metadata)


def save_last(state: State, folder: Path, identity: Mapping[str, Any]) -> None:
    """Write the checkpoint to resume from; the one before is kept, in case this one gets damaged."""
    try:
        if (folder / LAST).exists():
            (folder / LAST).replace(folder / PREVIOUS)
    except OSError as error:
        raise UserError(f"{folder / PREVIOUS}: cannot be written ({error.strerror or error}); run it again") from error
    save(state, folder / LAST, identity, with_optimizer=True)


def checkpoint_to_resume(folder: Path, identity: Mapping[str, Any]) -> Checkpoint | None:
    """Return the last checkpoint in `folder`, or None. Raises UserError if it is of another recipe or other data."""
    remedy = f"delete {folder} to train anew, or give this training another --name"
    path = checkpoint_to_continue(folder)
    if path is None:
        _require_own_best(folder, identity, remedy)
        return None
    try:
        checkpoint = read_checkpoint(path)
    except UserError as error:
        if path.name == LAST and (folder / PREVIOUS).exists():
            raise UserError(f"{error}; or delete {path} to resume from the epoch before") from error
        raise
    found = {name: checkpoint.metadata.get(name) for name in identity}
    # the recipe first: another seed also means other training images
    require_fingerprint({"recipe": found["recipe"]}, {"recipe": identity["recipe"]}, path, remedy)
    require_fingerprint(found, identity, path, remedy)
    return checkpoint


def _require_own_best(folder: Path, identity: Mapping[str, Any], remedy: str) -> None:
    """Raise UserError if a best checkpoint without a last one was not left by this training, but imported."""
    if (folder / BEST).exists():
        metadata = read_metadata(folder / BEST, f"delete {folder}")
        expected = {**identity, "source": None}
        require_fingerprint({name: metadata.get(name) for name in expected}, expected, folder / BEST, remedy)


def restore(state: State, checkpoint: Checkpoint) -> None:
    """Load a checkpoint's tensors and counters into `state`. Raises UserError if they do not fit the network."""
    try:
        state.result.load_state_dict(network_state(checkpoint))
        if state.average is not None:
            state.network.load_state_dict(network_state(checkpoint, TRAINED))
            state.average.steps = int(checkpoint.metadata["averaged_steps"])
        state.optimizer.load_state_dict({**state.optimizer.state_dict(), "state": _moments(checkpoint)})
        state.epoch, state.best = int(checkpoint.metadata["epoch"]), float(checkpoint.metadata["best"])
    except (RuntimeError, LookupError, ValueError, TypeError) as error:
        reason = printable(error)[:200]
        raise UserError(f"{checkpoint.path}: cannot be resumed from ({reason}); delete it to train anew") from error


def _moments(checkpoint: Checkpoint) -> dict[int, dict[str, Tensor]]:
    """Return the optimizer's tensors by the number of their parameter."""
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in checkpoint.tensors.items():
        if name.startswith(MOMENTS):
            _, number, kind = name.split(".")
            # the memory format of the parameters, as in a run that was not interrupted
            layout = torch.channels_last if value.ndim == 4 else torch.contiguous_format
            moments.setdefault(int(number), {})[kind] = value.contiguous(memory_format=layout)
    return moments
