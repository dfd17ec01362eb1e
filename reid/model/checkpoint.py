"""Networks from recipes, and networks from checkpoint files."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from data_cache.base.errors import UserError, short_repr
from data_cache.base.tensors import content_hash, half_precision, load_tensors
from data_cache.base.weights.fitting import weight_differences
from reid import shipped
from reid.model.backbones import Backbone, build_backbone
from reid.model.flip_test import embed_with_mirror
from reid.model.pgan import PGAN, global_average_pool
from reid.model.pgan_plus import PGANPlus
from reid.recipes import ReidRecipe
from reid.runs import BEST

log = logging.getLogger(__name__)

MAX_VEHICLES = 2**24
REQUIRED = {"recipe", "vehicles", "epoch", "best"}  # metadata of every checkpoint
TrainedNetwork = PGAN | PGANPlus
WHOLE = "whole."  # of the tensors of PGAN+ for the whole image
PREFIX = "model."  # of the network's tensors in a checkpoint, which may also hold the optimizer's


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file: tensors by name, metadata, and the SHA-256 of both."""

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, Any]
    sha256: str

    @property
    def recipe(self) -> ReidRecipe:
        """The recipe of the training. Raises UserError if this version cannot read it."""
        try:
            return ReidRecipe.model_validate(self.metadata["recipe"])
        except ValidationError as error:
            raise UserError(
                f"{self.path}: written by another version with a recipe that this one cannot read"
            ) from error


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and verify a checkpoint. Raises UserError if it is missing, damaged or something else."""
    tensors, metadata, sha256 = load_tensors(path, f"delete {path.parent} and train again, or name another run")
    if metadata.get("kind") != "re-identification" or not set(metadata) >= REQUIRED:
        raise UserError(f"{path}: no checkpoint of a re-identification network")
    return Checkpoint(path, tensors, metadata, sha256)


def in_half_precision(checkpoint: Checkpoint) -> Checkpoint:
    """Return the checkpoint with matrices in float16, for others: without the folders of the machine that made it.

    Its recipe keeps the name of a file of backbone weights, and not the run that it started from. Raises UserError if a
    value is not finite in float16.
    """
    recipe = {name: value for name, value in checkpoint.metadata["recipe"].items() if name != "start"}
    if recipe.get("trunk_weights"):
        recipe["trunk_weights"] = Path(recipe["trunk_weights"]).name
    metadata = {**checkpoint.metadata, "recipe": recipe}
    tensors = half_precision(checkpoint.path, checkpoint.tensors, "export it without --half")
    return replace(checkpoint, tensors=tensors, metadata=metadata, sha256=content_hash(tensors, metadata))


def build_network(recipe: ReidRecipe, vehicles: int, *, pretrained: bool = True) -> TrainedNetwork:
    """Return the network before training; the same recipe gives the same weights.

    `pretrained=False` leaves the backbone random, for a checkpoint that replaces it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        whole = build_pgan(recipe, vehicles, pretrained=pretrained and recipe.start is None)
        network: TrainedNetwork = whole
        if recipe.part_crops:
            whole.flip_test = False  # PGANPlus mirrors image and crops together
            network = PGANPlus(
                whole,
                vehicles=vehicles,
                features=recipe.features,
                slot=recipe.slot_features,
                flip_test=recipe.flip_test,
            )
    if pretrained and recipe.start is not None:
        start = shipped.weights() if recipe.start == shipped.NAME else Path(recipe.start)
        start_from(network, recipe.trunk, start)
    return network


def start_from(network: TrainedNetwork, trunk: str, source: Path) -> None:
    """Load the weights of a trained network, its run's folder or its file, but those of its classes.

    That of PGAN+ may start from one of the paper's, which becomes the network of its whole image, and one of the
    paper's from that network of a PGAN+. What the other lacks or has in another shape, such as a head with other
    `features`, stays random, and a message says so. Raises UserError if `source` is no trained network or has another
    backbone than `trunk`.
    """
    checkpoint = read_checkpoint(source / BEST if source.is_dir() else source)
    state = {name: value for name, value in network_state(checkpoint).items() if "classifier" not in name}
    of_plus = any(name.startswith(WHOLE) for name in state)
    if isinstance(network, PGANPlus) and not of_plus:
        state = {WHOLE + name: value for name, value in state.items()}
    elif of_plus and not isinstance(network, PGANPlus):
        state = {name.removeprefix(WHOLE): value for name, value in state.items() if name.startswith(WHOLE)}
    own = {name: value for name, value in network.state_dict().items() if "classifier" not in name}
    fitting = {name for name, value in own.items() if name in state and state[name].shape == value.shape}
    lacking = [name for name in own if name not in fitting]
    if any("trunk." in name for name in lacking):
        raise UserError(f"{source}: a network on {checkpoint.recipe.trunk}, not on {trunk}; choose another start")
    network.load_state_dict({name: state[name] for name in fitting}, strict=False)
    modules = ", ".join(dict.fromkeys(name.removeprefix(WHOLE).split(".")[0] for name in lacking)) or "none"
    log.info(f"weights from {checkpoint.path}; random: {modules}, and the classes")


def build_pgan(recipe: ReidRecipe, vehicles: int, *, pretrained: bool = True) -> PGAN:
    """Return the network of the paper that the recipe describes, which in PGAN+ is that of the whole image."""
    backbone = build_backbone(recipe.trunk, recipe.trunk_weights if pretrained else None, recipe.input_size)
    if pretrained:
        weights = "random weights" if recipe.trunk_weights is None else f"weights from {recipe.trunk_weights}"
        log.info(f"backbone {recipe.trunk}: {weights}")
    return PGAN(
        backbone,
        vehicles=vehicles,
        attention=recipe.attention,
        features=recipe.features,
        temperature=recipe.temperature,
        cosine_logits=recipe.identity_loss == "arcface",
        pooling=recipe.pooling,
        flip_test=recipe.flip_test,
    )


def trained_network(checkpoint: Checkpoint) -> TrainedNetwork:
    """Return the checkpoint's network in evaluation mode.

    Raises UserError if its tensors are not those of the network that its recipe describes.
    """
    recipe, state, vehicles = checkpoint.recipe, network_state(checkpoint), checkpoint.metadata["vehicles"]
    if not isinstance(vehicles, int) or not 0 < vehicles < MAX_VEHICLES:
        raise UserError(f"{checkpoint.path}: holds no network ({short_repr(vehicles)} vehicles)")
    with torch.device("meta"):  # compare shapes before memory of a possibly absurd size is allocated
        network = build_network(recipe, vehicles, pretrained=False)
    differences = weight_differences(state, network.state_dict())
    if differences is not None or not set(network.state_dict()) <= set(state):
        raise UserError(f"{checkpoint.path}: not the network of its own recipe: {differences}")
    if {name for name, _ in network.named_buffers()} <= set(state):
        network.to_empty(device="cpu")
    else:  # constants that are not saved, as in some networks of timm
        network = build_network(recipe, vehicles, pretrained=False)
    network.load_state_dict(state)
    return network.eval()


def network_tensors(network: TrainedNetwork) -> dict[str, Tensor]:
    """Return the network's tensors under their names in a checkpoint; the inverse of `network_state`."""
    return {PREFIX + name: value for name, value in network.state_dict().items()}


def network_state(checkpoint: Checkpoint, prefix: str = PREFIX) -> dict[str, Tensor]:
    """Return the network's state dict from a checkpoint; `prefix` is that of its tensors' names."""
    return {name.removeprefix(prefix): value for name, value in checkpoint.tensors.items() if name.startswith(prefix)}


class PooledBackbone(nn.Module):
    """The pooled backbone map as the feature, which is what pretraining alone gives; embeds images as `PGAN` does."""

    def __init__(self, backbone: Backbone, *, flip_test: bool = False) -> None:
        """Keep the backbone; `flip_test` as in `PGAN`."""
        super().__init__()
        self.trunk = backbone  # its name enters the weights' hash in feature files
        self.flip_test = flip_test

    def embed(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """images (B, 3, H, W) -> feature (B, C), attention (B, D); the boxes are ignored."""
        return embed_with_mirror(self._embed, *inputs) if self.flip_test else self._embed(*inputs)

    def _embed(self, images: Tensor, boxes: Tensor, parts: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
        pooled = global_average_pool(self.trunk(images))
        return pooled, parts.new_zeros(parts.shape, dtype=torch.float32)


Network = TrainedNetwork | PooledBackbone


def untrained_networks(recipe: ReidRecipe, vehicles: int) -> dict[str, Network]:
    """Return the networks before training: the whole network, and its pooled backbone under the name "trunk"."""
    network = build_network(recipe, vehicles).eval()
    trunk = network.whole.trunk if isinstance(network, PGANPlus) else network.trunk
    return {"untrained": network, "trunk": PooledBackbone(trunk, flip_test=recipe.flip_test).eval()}
