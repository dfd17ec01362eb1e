"""Extracting blocks of features on Ray: workers hold the network and send finished blocks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor

from data_cache.base.devices import choose_device
from data_cache.base.progress import track
from data_cache.base.remote.addresses import Location, require_other_processes
from data_cache.engine.queue import in_ray
from reid.data.vehicle_images import VehicleImages
from reid.features.blocks import Block
from reid.features.embedding import extract_blocks
from reid.model.checkpoint import Network, TrainedNetwork, build_network
from reid.recipes import ReidRecipe


@dataclass(frozen=True, eq=False)
class NetworkState:
    """What a worker builds the network from: its recipe, its number of classes and its tensors.

    A network itself cannot be pickled, because of its weight norms.
    """

    recipe: ReidRecipe
    vehicles: int
    tensors: Mapping[str, Tensor]

    @classmethod
    def of(cls, network: Network, recipe: ReidRecipe) -> "NetworkState":
        """Return the state of a network of this recipe."""
        assert isinstance(network, TrainedNetwork)  # a backbone alone has no recipe
        return cls(recipe, network.classifier.out_features, network.state_dict())


@dataclass(frozen=True, eq=False)
class RaySource:
    """What the tasks of an extraction are made from: the network's recipe, and images of some rows, below `root`."""

    recipe: ReidRecipe
    images: Callable[[range], VehicleImages]
    root: Location


@dataclass(frozen=True, eq=False)
class BlockTask:
    """A block to extract: its images, in order, on "cpu" or "cuda"."""

    images: VehicleImages
    device: str
    batch_size: int


def blocks_in_ray(
    network: Network, source: RaySource, missing: Sequence[range], *, device: str, workers: int, batch_size: int
) -> Iterator[tuple[range, Block]]:
    """Yield the missing blocks, each with its rows, as workers of Ray finish them, see `in_ray`.

    The workers read the images of `source` at their paths or addresses. On a CPU a worker computes with as many threads
    as this process would: the last bits of attention depend on it. Raises UserError as `in_ray`, and for an image that
    cannot be read.
    """
    require_other_processes(source.root, "leave --engine ray out")
    tasks = (BlockTask(source.images(rows), device, batch_size) for rows in missing)
    threads = torch.get_num_threads() if device == "cpu" else 1
    state = NetworkState.of(network, source.recipe)
    made = in_ray(embed_block, load, state, tasks, device=device, threads=threads, workers=workers)
    with closing(made):
        for number, block in track(made, "features", sum(map(len, missing)), lambda one: len(missing[one[0]])):
            features, attention = block
            yield missing[number], (features.copy(), attention.copy())  # from Ray's memory, which is read-only


def load(source: NetworkState) -> TrainedNetwork:
    """Return the network, in a worker; `embed_block` moves it to the device."""
    network = build_network(source.recipe, source.vehicles, pretrained=False)
    network.load_state_dict(source.tensors)
    return network.eval()


def embed_block(network: Network, task: BlockTask) -> Block:
    """Return the features and attention of a block, in a worker. Raises UserError without the GPU that it needs."""
    device, rows = choose_device(task.device), range(len(task.images))
    ((_, block),) = extract_blocks(network, task.images, [rows], device=device, workers=0, batch_size=task.batch_size)
    return block
