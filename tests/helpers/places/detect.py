"""A toy data set with a detector trained on it; in a file of its own, because it imports torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import torch

from data_cache.base.files import sha256_of_file
from detect.model import shipped
from detect.model.ssd import build_network
from detect.model.weights import write_weights
from detect.training.runs import METRICS, WEIGHTS
from helpers.toy.annotations import TINY, toy_set


def toy_workspace(folder: Path) -> Path:
    """Write a toy set into `folder`/data, and a detector "demo" with random weights into `folder`/runs."""
    toy_set(folder / "data", 4)
    names = sorted(path.name for path in (folder / "data/images").iterdir())
    rows = [f"images/{name},{index // 2},0,train" for index, name in enumerate(names)]
    (folder / "data/images.csv").write_text("\n".join(["name,vehicle_id,camera_id,split", *rows]) + "\n")
    torch.manual_seed(0)
    write_weights(folder / "runs/detector/demo" / WEIGHTS, build_network(TINY), TINY)
    (folder / "runs/detector/demo" / METRICS).write_text("{}")
    return folder


@contextmanager
def shipping(weights: Path, module: ModuleType = shipped) -> Iterator[Path]:
    """Let a weights file be the one that ships with the package: the detector's, or that of another `module`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PATH", weights)
        patch.setattr(module, "SHA256", sha256_of_file(weights))
        yield weights
