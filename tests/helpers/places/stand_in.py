"""A stand-in for the part detector, and images for it: the command `detect` in a tenth of a second."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

import detect.extraction.job
import detect.model.detector
from detect.model.detector import Detector
from detect.model.nms import PartBatch
from detect.model.weights import read_recipe, write_weights
from detect.recipes import DetectorRecipe

RECIPE = DetectorRecipe(
    architecture="ssdlite_mobilenetv2",
    input_size=64,
    extra_channels=(32,),
    strides=(8, 16, 32, 64),
    anchor_sizes=(0.1, 0.2, 0.35, 0.6, 0.9),
    anchor_ratios=((2.0,),) * 4,
    epochs=1,
)
BATCH, SHARD = 3, 6  # images


class StandIn(Detector):
    """A detector that derives the parts from an image's first row of pixels: other images give other parts."""

    def __init__(self, recipe: DetectorRecipe) -> None:
        self.recipe, self.device = recipe, "cpu"

    def detect(self, pixels: Tensor, sizes: NDArray[np.integer[Any]]) -> PartBatch:
        """Return up to `top_k` parts of each image; the first byte decides how many."""
        slots = self.recipe.top_k
        row = pixels[:, 0, :slots].long()  # (B, K, 3)
        limits = torch.from_numpy(np.asarray(sizes, dtype=np.float32)).repeat(1, 2)[:, None]  # (B, 1, 4)
        corners = torch.cat([row[..., :2] / 512, 0.75 + row[..., 1:] / 1024], dim=-1).float()
        used = torch.arange(slots) < row[:, :1, 0] % (slots + 1)
        scores = ((255 - torch.arange(slots)) / 256).expand_as(used)
        labels = torch.where(used, row[..., 2] % 16, -1)
        return PartBatch(torch.where(used[..., None], corners * limits, 0.0), torch.where(used, scores, 0.0), labels)


@contextmanager
def stand_in(make: Callable[[DetectorRecipe], Detector] = StandIn) -> Iterator[None]:
    """Load a stand-in instead of a detector, and make small shards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detect.model.detector, "load_detector", lambda weights, device: make(read_recipe(weights)))
        patch.setattr(detect.extraction.job, "SHARD_SIZE", SHARD)
        yield


def data_set(folder: Path, count: int, damaged: int | None = 5) -> Path:
    """Write `count` small images, one of them truncated, images.csv, and weights of another network with RECIPE."""
    random = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    names = [f"images/{index:04d}.png" for index in range(count)]
    for name in names:
        width, height = (int(side) for side in random.integers(20, 60, 2))
        Image.fromarray(random.integers(0, 256, (height, width, 3)).astype(np.uint8)).save(folder / name)
    if damaged is not None:
        (folder / names[damaged]).write_bytes((folder / names[damaged]).read_bytes()[:200])
    write_list(folder, names)
    write_weights(folder / "w.safetensors", nn.BatchNorm2d(1), RECIPE)  # no random numbers
    return folder


def write_list(folder: Path, names: Sequence[str]) -> None:
    """Write images.csv, which makes these images a data set; names are quoted."""
    quoted = ('"' + name.replace('"', '""') + '",1,0,train' for name in names)
    (folder / "images.csv").write_text("\n".join(["name,vehicle_id,camera_id,split", *quoted]) + "\n")


def words(data: Path, output: Path, *more: str, workers: int = 0) -> list[str]:
    """Return the arguments of `detect` on `data`."""
    paths = ["--data-root", str(data), "--detector", str(data / "w.safetensors"), "--output", str(output)]
    options = ["--device", "cpu", "--batch-size", str(BATCH), "--workers", str(workers), *more]
    return ["detect", "--dataset", "folder", *paths, *options]
