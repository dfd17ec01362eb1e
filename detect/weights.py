"""A trained detector on disk: one safetensors file with its weights, its recipe and the part names it was taught."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from data_cache.attributes import PART_NAMES
from data_cache.errors import UserError
from data_cache.files import write_atomically
from detect.recipes import DetectorRecipe

if TYPE_CHECKING:
    from torch import Tensor, nn

METADATA = "part_detector"


def write_weights(path: Path, network: "nn.Module", recipe: DetectorRecipe) -> None:
    """Write the state of `network`, with `recipe` and part names, as a whole or not at all."""
    from safetensors.torch import save

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    detector = {"recipe": recipe.model_dump(mode="json"), "part_names": PART_NAMES}
    metadata = {METADATA: json.dumps(detector)}  # one entry: safetensors writes several in no fixed order
    write_atomically(path, save(state, metadata))


def read_recipe(path: Path) -> DetectorRecipe:
    """Return the recipe inside a weights file, without torch. Raises UserError where it is no detector of ours."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > path.stat().st_size:
                raise ValueError("truncated")
            metadata = json.loads(file.read(length)).get("__metadata__", {})
        detector = json.loads(metadata[METADATA])
        recipe = DetectorRecipe.model_validate(detector["recipe"])
        part_names = tuple(detector["part_names"])
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; train a detector with `python cli.py parts train`") from error
    except (OSError, ValueError, KeyError, AttributeError, TypeError, struct.error, ValidationError) as error:
        raise UserError(f"{path}: not the weights of a part detector ({type(error).__name__}: {error})") from error
    if part_names != PART_NAMES:
        raise UserError(f"{path}: was taught other parts ({', '.join(part_names)}); train it again")
    return recipe


def load_weights(path: Path, network: "nn.Module") -> None:
    """Put the weights of `path` into `network`. Raises UserError unless every tensor has its place and shape."""
    put_in(path, network, read_tensors(path))


def put_in(path: Path, network: "nn.Module", state: Mapping[str, "Tensor"]) -> None:
    """Put `state`, read from `path`, into `network`. Raises UserError unless every tensor has its place and shape."""
    try:
        network.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        first = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: does not fit the network of its recipe ({first})") from error


def read_tensors(path: Path) -> dict[str, "Tensor"]:
    """Read tensors from safetensors or from a .pth, the latter with `weights_only` so that no code in it can run."""
    import pickle

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            tensors: dict[str, Tensor] = load_file(path)
            return tensors
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except (OSError, EOFError, RuntimeError, ValueError, SafetensorError, pickle.UnpicklingError) as error:
        raise UserError(f"{path}: cannot be read as weights ({str(error).splitlines()[0][:200]})") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"{path}: holds no plain dictionary of tensors")
    return state
