"""The state of training, and its way into a checkpoint and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data_cache.parts import require_fingerprint
from data_cache.tensors import save_tensors
from reid.network import Checkpoint, build_network, network_state, read_checkpoint
from reid.pgan import PGAN
from reid.recipes import ReidRecipe

LAST, BEST = "last.safetensors", "best.safetensors"


@dataclass
class State:
    """What changes while training. All other randomness is a function of (seed, epoch, position), so this is all."""

    network: PGAN
    optimiser: torch.optim.Adam
    epoch: int = 0  # epochs done
    best: float = -1.0  # mAP on the held-out vehicles


def start_state(recipe: ReidRecipe, vehicles: int, device: str) -> State:
    """Return the state before the first epoch."""
    network = build_network(recipe, vehicles).to(device).to(memory_format=torch.channels_last)
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(trainable, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    return State(network, optimiser)


def save(state: State, path: Path, identity: Mapping[str, Any], *, with_optimiser: bool) -> None:
    """Write the state as one whole file; `identity` tells recipe and data."""
    tensors = {f"model.{name}": value for name, value in state.network.state_dict().items()}
    if with_optimiser:
        for number, values in state.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": value for name, value in values.items()}
    save_tensors(path, tensors, {**identity, "epoch": state.epoch, "best": state.best})


def checkpoint_to_resume(folder: Path, identity: Mapping[str, Any]) -> Checkpoint | None:
    """Return the last checkpoint in `folder`, if any. Raises UserError where recipe or data were others."""
    path = folder / LAST
    if not path.exists():
        return None
    checkpoint = read_checkpoint(path)
    found = {name: checkpoint.metadata.get(name) for name in identity}
    remedy = f"delete {folder} to train anew, or choose another --runs folder"
    # the recipe first: another seed also means other training images
    require_fingerprint({"recipe": found["recipe"]}, {"recipe": identity["recipe"]}, path, remedy)
    require_fingerprint(found, identity, path, remedy)
    return checkpoint


def restore(state: State, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's tensors and counters into `state`."""
    state.network.load_state_dict(network_state(checkpoint))
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in checkpoint.tensors.items():
        if name.startswith("optimiser."):
            _, number, kind = name.split(".")
            moments.setdefault(int(number), {})[kind] = value
    state.optimiser.load_state_dict({**state.optimiser.state_dict(), "state": moments})
    state.epoch, state.best = int(checkpoint.metadata["epoch"]), float(checkpoint.metadata["best"])
