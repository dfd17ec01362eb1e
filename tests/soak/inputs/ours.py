"""Files that this system writes, mutated behind their seal: what someone could do who can compute a hash."""

import io
import json
import struct
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load, save

from data_cache.base.tensors import ENTRY, content_hash
from data_cache.parts import cache as parts
from data_cache.parts.cache import SEAL_SIZE, encode_parts, read_parts
from detect.model.weights import load_weights, read_recipe, write_weights
from detect.recipes import PRESETS as DETECTORS
from detect.training import runner
from detect.training.runner import QuietRunner
from helpers.toy.vehicles import TINY, packed, tiny_backbone
from reid.data.pixel_file import digest_of, header_of, open_pixels
from reid.features.file import Features, read_features, write_features
from reid.model.backbones import BACKBONES
from reid.model.checkpoint import read_checkpoint, trained_network
from reid.runs import BEST, LAST
from reid.training.state import checkpoint_to_resume, restore, start_state
from reid.training.state import save as save_state
from soak.inputs.mutation import Target, mutate_bytes, mutate_value

IDENTITY = {"kind": "re-identification", "recipe": TINY.model_dump(mode="json"), "dataset": "folder", "vehicles": 4}
MADE_FROM = {"images": {"a.jpg": [10, 1], "b.jpg": [12, 2]}, "size": 4}
SIZES = (0, 1, 2, 3, 1000)


def sealed_tensors(tensors: Mapping[str, torch.Tensor], metadata: Any) -> bytes:
    """Return a file of tensors and metadata with the right hash, whatever they are."""
    entry = {"metadata": metadata, "sha256": content_hash(tensors, metadata)}
    return bytes(save(dict(tensors), {ENTRY: json.dumps(entry, sort_keys=True)}))


def mutate_tensors(data: bytes, random: Random) -> bytes:
    """Return a file with other metadata or other tensors and the right hash; one time in four, any bytes."""
    if random.random() < 0.25:
        return mutate_bytes(data, random)
    (length,) = struct.unpack("<Q", data[:8])
    metadata = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][ENTRY])["metadata"]
    tensors = load(data)
    if random.random() < 0.6:
        return sealed_tensors(tensors, mutate_value(metadata, random))
    name = random.choice([*tensors, "new", "optimiser.x.y", "model.new"])
    value = tensors.pop(name, torch.ones(2))
    changed = (value.flatten(), value.double(), value.bool(), value[None], torch.zeros(()), value * 1e30)
    if random.random() < 0.7:
        tensors[name] = random.choice(changed)
    return sealed_tensors(tensors, metadata)


def mutate_parts(data: bytes, random: Random) -> bytes:
    """Return a part cache with another array or attribute and the right seal; one time in four, any bytes."""
    if random.random() < 0.25:
        return mutate_bytes(data, random)
    with h5py.File(io.BytesIO(data), "r") as file:
        attributes, arrays = dict(file.attrs), {name: file[name][()] for name in file}
    name = random.choice([*attributes, *arrays])
    if random.random() < 0.1:
        attributes.pop(name, None)
        arrays.pop(name, None)
    elif name in attributes:
        attributes[name] = _other_attribute(attributes[name], random)
    else:
        arrays[name] = _other_array(arrays[name], random)
    return sealed_parts(attributes, {name: {"data": array} for name, array in arrays.items()})


def sealed_parts(attributes: Mapping[str, Any], arrays: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Return a part cache with the right seal; `arrays` are the arguments of `h5py.Group.create_dataset` by name."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=SEAL_SIZE) as file:
        file.attrs.update(attributes)
        for name, arguments in arrays.items():
            file.create_dataset(name, **arguments)
    content = buffer.getvalue()[SEAL_SIZE:]
    return parts._seal(content) + content


def _other_attribute(value: Any, random: Random) -> Any:
    try:
        return json.dumps(mutate_value(json.loads(value), random))
    except (TypeError, ValueError):
        return random.choice((0, 2, -1, "1", "[", [1, 2], np.nan))


def _other_array(array: NDArray[Any], random: Random) -> Any:
    text = array.dtype.kind == "S"
    change = random.randrange(5)
    if change == 0:
        return array[: random.choice(SIZES)]
    if change == 1:
        return np.zeros(len(array)) if text else array.astype(random.choice(("float64", "int64", "S3")))
    if change == 2:
        return array[..., None]
    if change == 3:
        return np.repeat(array, random.choice(SIZES), axis=0)
    value = b"../x" if text else random.choice((np.nan, -1, 0, 99, np.inf, 1e9))
    changed = array.copy()
    with np.errstate(invalid="ignore"):
        changed.flat[random.randrange(array.size)] = np.asarray(value).astype(array.dtype)
    return changed


@cache
def cache_bytes() -> bytes:
    boxes = [np.array([[1, 2, 30, 40], [5, 5, 20, 20]], np.float32), np.zeros((0, 4), np.float32)]
    return encode_parts(packed(["a.jpg", "b.jpg"], boxes))


def written(write: Any, *arguments: Any) -> bytes:
    """Return what `write` writes to a path, its first argument."""
    with TemporaryDirectory() as folder:
        write(Path(folder) / "file", *arguments)
        return (Path(folder) / "file").read_bytes()


@cache
def checkpoint_bytes() -> bytes:
    with patch.dict(BACKBONES, resnet18=tiny_backbone), TemporaryDirectory() as folder:
        state = start_state(TINY, 4, "cpu")
        save_state(state, Path(folder) / LAST, IDENTITY, with_optimizer=True)
        return (Path(folder) / LAST).read_bytes()


def read_best_network(folder: Path) -> None:
    """Read a checkpoint as `evaluate` does."""
    with patch.dict(BACKBONES, resnet18=tiny_backbone):
        trained_network(read_checkpoint(folder / BEST))


def read_networks(folder: Path) -> None:
    """Read a checkpoint as `evaluate` does, and as `train` does to resume from it."""
    read_best_network(folder)
    with patch.dict(BACKBONES, resnet18=tiny_backbone):
        found = checkpoint_to_resume(folder, IDENTITY)
        if found is not None:
            restore(start_state(TINY, 4, "cpu"), found)


def features_bytes() -> bytes:
    names, matrix = ("a.jpg", "b.jpg"), np.eye(2, 4, dtype=np.float32)
    return written(write_features, Features(names, matrix, np.full((2, 3), 0.5, np.float32), {"weights": "0"}))


def decoded_bytes() -> bytes:
    pixels = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    return header_of(MADE_FROM, [digest_of(pixels)]) + pixels.tobytes()


def detector_bytes() -> bytes:
    return written(write_weights, torch.nn.BatchNorm2d(1), DETECTORS["demo"])


def read_detector(folder: Path) -> None:
    read_recipe(folder / "w.safetensors")
    load_weights(folder / "w.safetensors", torch.nn.BatchNorm2d(1))


def training_bytes() -> bytes:
    network = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    told = {"epoch": 1, "step": 3, "best": {"epoch": 1}, "schedules": []}
    buffer = io.BytesIO()
    torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict(), **told}, buffer)
    return buffer.getvalue() + runner._seal(buffer.getvalue())


def mutate_training(data: bytes, random: Random) -> bytes:
    """Return a mutated state of a detector's training, mostly with the right seal."""
    content = mutate_bytes(data[: -len(runner._seal(b""))], random)
    return content + (b"" if random.random() < 0.2 else runner._seal(content))


def read_training(folder: Path) -> None:
    network = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    resumed: Any = SimpleNamespace(
        state_file=folder / "state.pt",
        model=network,
        optim_wrapper=optimizer,
        param_schedulers=[],
        train_loop=SimpleNamespace(),
    )
    QuietRunner.load_or_resume(resumed)


TARGETS = {
    "part cache": Target(
        lambda: {"parts.h5": cache_bytes()}, lambda folder: read_parts(folder / "parts.h5"), mutate_parts
    ),
    "checkpoint": Target(lambda: {BEST: checkpoint_bytes(), LAST: checkpoint_bytes()}, read_networks, mutate_tensors),
    "features": Target(
        lambda: {"f.safetensors": features_bytes()},
        lambda folder: read_features(folder / "f.safetensors"),
        mutate_tensors,
    ),
    "decoded images": Target(
        lambda: {"d.safetensors": decoded_bytes()}, lambda folder: open_pixels(folder / "d.safetensors", MADE_FROM)
    ),
    "weights of a detector": Target(lambda: {"w.safetensors": detector_bytes()}, read_detector, mutate_tensors),
    "training of a detector": Target(lambda: {"state.pt": training_bytes()}, read_training, mutate_training),
}
