"""Batches through pipes: the same as through /dev/shm, without using it, chosen where it is small."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from data_cache.images import batches
from data_cache.images.batches import PipedCollate, collate_within_shared_memory
from detect.model.reading import ImageFiles, ReadBatch, read_batches
from detect.model.reading import collate as collate_read
from helpers.parts import MakePictures
from helpers.paths import ROOT

MIB = 2**20


class Numbers(Dataset[Tensor]):
    """Items whose tensors have several types, shapes and strides."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Tensor:
        return torch.arange(index, index + 12, dtype=torch.uint8).view(3, 4).T


def collate(items: Sequence[Tensor]) -> dict[str, Any]:
    stacked = torch.stack(list(items))
    empty, flags = torch.empty(0), stacked > 3
    return {"inputs": list(items), "batch": (stacked, stacked.float(), flags, empty), "names": ["ä", "b"]}


def assert_equal(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if isinstance(expected, Tensor):
        assert found.dtype == expected.dtype and torch.equal(found, expected)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_equal(one, other)
    elif isinstance(expected, dict):
        assert_equal(list(found.items()), list(expected.items()))
    else:
        assert found == expected


def shared_tensors(value: Any) -> list[bool]:
    """Return for each tensor with a byte whether it lies in shared memory."""
    if isinstance(value, Tensor):
        return [bool(value.is_shared())] if value.numel() else []  # type: ignore[no-untyped-call]
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [is_shared for one in values for is_shared in shared_tensors(one)]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_piped_batch_is_the_same_and_lies_in_no_shared_memory(workers: int) -> None:
    loaders = [
        DataLoader(Numbers(), batch_size=2, num_workers=workers, collate_fn=function)
        for function in (PipedCollate(collate), collate)
    ]
    for piped, shared in zip(*loaders, strict=True):
        assert_equal(piped, shared)
        assert not any(shared_tensors(piped))
        assert all(shared_tensors(shared)) == (workers > 0)


@pytest.mark.parametrize(
    ("free", "workers", "prefetched", "processes", "piped"),
    [
        (64, 2, 4, 1, True),  # ten batches of 9 MiB
        (181, 2, 4, 1, False),
        (181, 2, 4, 2, True),  # another process of torchrun needs as much
        (64, 0, 4, 1, False),  # nothing is handed over
        (73, 2, 1, 1, False),
        (71, 2, 1, 1, True),
    ],
)
def test_shared_memory_is_used_where_all_batches_of_a_loader_fit_in_half_of_it(
    free: int, workers: int, prefetched: int, processes: int, piped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(64 * MIB, 0, free * MIB))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    function = collate_within_shared_memory(collate, 9 * MIB, workers=workers, prefetched=prefetched)
    assert (function is not collate) == piped


def test_without_dev_shm_the_batches_go_as_torch_sends_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(batches, "SHARED_MEMORY", tmp_path / "absent")
    assert collate_within_shared_memory(collate, 9 * MIB, workers=8) is collate


def test_the_detector_reads_the_same_pixels(
    tmp_path: Path, make_pictures: MakePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["a.png", "b.png", "c.png"]
    make_pictures(tmp_path, names)
    (tmp_path / "c.png").write_bytes(b"broken")
    monkeypatch.setattr(batches, "_room", lambda: 0)
    loader = read_batches([names[:2], names[2:]], tmp_path, 32, 1)
    assert isinstance(loader.collate_fn, PipedCollate)
    images = ImageFiles(names, tmp_path, 32)
    for rows, found in zip(([0, 1], [2]), loader, strict=True):
        expected = collate_read([images[row] for row in rows])
        assert isinstance(found, ReadBatch)
        assert torch.equal(found.pixels, expected.pixels) and (found.sizes == expected.sizes).all()
        assert (found.names, found.failures) == (expected.names, expected.failures)


LOADING = """
import torch
from torch.utils.data import DataLoader
from data_cache.base.errors import initialize_worker
from data_cache.images.batches import collate_within_shared_memory
def big(items):
    return torch.full((4 * 2**20,), items[0], dtype=torch.uint8)
function = collate_within_shared_memory(big, 4 * 2**20, workers=2)
loader = DataLoader(range(6), num_workers=2, collate_fn=function, worker_init_fn=initialize_worker)
print([int(batch[-1]) for batch in loader])
"""


def test_a_loader_works_with_a_tiny_dev_shm() -> None:
    mount = 'mount -t tmpfs -o size=256k tmpfs /dev/shm && exec "$@"'
    command = ["unshare", "--mount", "bash", "-c", mount, "bash"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*command, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no mount namespace without root")
    ended = subprocess.run(
        [*command, sys.executable, "-c", LOADING], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert (ended.stdout, ended.returncode) == ("[0, 1, 2, 3, 4, 5]\n", 0), ended.stderr
