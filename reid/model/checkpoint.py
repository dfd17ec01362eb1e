"""From a recipe to a network, and from a checkpoint file back to one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from data_cache.base.errors import UserError, short_repr
from data_cache.base.tensors import load_tensors
from reid.model.backbones import build_trunk, weight_differences
from reid.model.pgan import PGAN, PooledTrunk
from reid.recipes import ReidRecipe

MOST_VEHICLES = 2**24
_TOLD = {"recipe", "vehicles", "epoch", "best"}  # by every checkpoint, whatever else it tells
PREFIX = "model."  # of the network's tensors in a checkpoint, beside the optimizer's


@dataclass(frozen=True)
class Checkpoint:
    """A file of training: its tensors by name, what it says of itself, and the SHA-256 of both."""

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, Any]
    sha256: str

    @property
    def recipe(self) -> ReidRecipe:
        """The recipe that made it. Raises UserError where this version does not know it."""
        try:
            return ReidRecipe.model_validate(self.metadata["recipe"])
        except ValidationError as error:
            raise UserError(f"{self.path}: made by another version, whose recipe is not understood here") from error


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and verify a checkpoint. Raises UserError where it is missing, damaged, or something else."""
    tensors, metadata, sha256 = load_tensors(path, f"delete {path.parent} and train again, or name another run")
    if metadata.get("kind") != "re-identification" or not _TOLD <= set(metadata):
        raise UserError(f"{path}: no checkpoint of a re-identification network")
    return Checkpoint(path, tensors, metadata, sha256)


def build_network(recipe: ReidRecipe, vehicles: int, *, pretrained: bool = True) -> PGAN:
    """Return the network as it is before training; the same recipe gives the same weights.

    `pretrained=False` leaves the trunk random, for a checkpoint that fills it anyway.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        trunk = build_trunk(recipe.trunk, recipe.trunk_weights if pretrained else None, tell=pretrained)
        return PGAN(
            trunk,
            vehicles=vehicles,
            attention=recipe.attention,
            features=recipe.features,
            temperature=recipe.temperature,
        )


def trained_network(checkpoint: Checkpoint) -> PGAN:
    """Return the checkpoint's network, in evaluation mode. Raises UserError where it holds another than it says."""
    recipe, state, vehicles = checkpoint.recipe, network_state(checkpoint), checkpoint.metadata["vehicles"]
    if not isinstance(vehicles, int) or not 0 < vehicles < MOST_VEHICLES:
        raise UserError(f"{checkpoint.path}: holds no network ({short_repr(vehicles)} vehicles)")
    with torch.device("meta"):  # shapes alone: one with absurd sizes is refused before anything of that size is made
        network = build_network(recipe, vehicles, pretrained=False)
    differences = weight_differences(state, network.state_dict())
    if differences is not None or not set(network.state_dict()) <= set(state):
        raise UserError(f"{checkpoint.path}: not the network of its own recipe: {differences}")
    network.to_empty(device="cpu").load_state_dict(state)
    return network.eval()


def network_tensors(network: PGAN) -> dict[str, Tensor]:
    """Return the network's part of a checkpoint to be written; `network_state` is the way back."""
    return {PREFIX + name: value for name, value in network.state_dict().items()}


def network_state(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the network's part of a checkpoint, under the network's own names."""
    return {name.removeprefix(PREFIX): value for name, value in checkpoint.tensors.items() if name.startswith(PREFIX)}


def untrained_networks(recipe: ReidRecipe, vehicles: int) -> dict[str, PGAN | PooledTrunk]:
    """Return what training starts from: the whole network, and its trunk alone, pooled."""
    network = build_network(recipe, vehicles).eval()
    return {"untrained": network, "trunk": PooledTrunk(network.trunk).eval()}
