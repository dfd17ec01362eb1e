import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from detect_toy import TINY, find, toy_set

from data_cache.errors import UserError
from data_cache.files import run_lock
from data_cache.parts import STATUS_FAILED, STATUS_FOUND, read_parts
from data_cache.shards import shards_folder
from detect.adapter import build_network
from detect.run import detect_parts
from detect.weights import write_weights

IMAGES = 22
RUN = """
import sys
from pathlib import Path
sys.path.insert(0, "tests")
from detect_toy import find
data, output = Path(sys.argv[1]), Path(sys.argv[2])
"""
KILLED = (
    RUN
    + """
import os, signal
import detect.run
write, count = detect.run.write_parts, 0
def stop_after_two(path, parts):
    global count
    write(path, parts)
    count += 1
    if count == 2:
        os.kill(os.getpid(), signal.SIGKILL)
detect.run.write_parts = stop_after_two
find(data, output)
"""
)
AGAIN = (
    RUN
    + """
summary = find(data, output)
assert summary.made_now == 0 and summary.images == 22, summary
heavy = {"torch", "torchvision", "mmdet", "mmcv", "mmengine"} & set(sys.modules)
assert not heavy, heavy
"""
)


def python(code: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Toy images, one of them cut short, and two detectors with random weights."""
    folder = tmp_path_factory.mktemp("data") / "toy"
    toy_set(folder, IMAGES)
    bad = folder / "images/0005.png"
    bad.write_bytes(bad.read_bytes()[:2000])
    for seed, name in enumerate(("w.safetensors", "other.safetensors")):
        torch.manual_seed(seed)
        write_weights(folder / name, build_network(TINY), TINY)
    return folder


@pytest.fixture(scope="module")
def whole(data: Path) -> Path:
    """The part cache of an undisturbed run."""
    output = data.parent / "whole" / "parts.h5"
    find(data, output)
    return output


def test_every_image_has_a_row_and_a_bad_one_its_reason(whole: Path) -> None:
    parts = read_parts(whole)
    assert len(parts.names) == IMAGES
    (failed,) = np.flatnonzero(parts.status == STATUS_FAILED)
    assert parts.names[failed] == "images/0005.png" and "damaged image" in parts.failure[failed]
    assert (parts.labels[failed] == -1).all() and (parts.image_size[failed] == 0).all()
    good = parts.status == STATUS_FOUND
    assert good.sum() == IMAGES - 1 and (parts.image_size[good] == [160, 120]).all()
    assert {"dataset", "names_sha256", "detector", "weights_sha256", "top_k", "versions"} <= set(parts.fingerprint)
    assert not shards_folder(whole).exists()


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(data: Path, whole: Path, tmp_path: Path) -> None:
    output = tmp_path / "parts.h5"
    run = python(KILLED, data, output)
    assert run.returncode == -9 and not output.exists(), run.stderr
    assert len(list(shards_folder(output).glob("*.h5"))) == 2
    summary = find(data, output)
    assert summary.made_now == IMAGES - 8
    assert output.read_bytes() == whole.read_bytes()


def test_a_damaged_shard_is_made_again(data: Path, whole: Path, tmp_path: Path) -> None:
    output = tmp_path / "parts.h5"
    assert python(KILLED, data, output).returncode == -9
    shard = sorted(shards_folder(output).glob("*.h5"))[0]
    shard.write_bytes(shard.read_bytes()[:-100])
    assert find(data, output).made_now == IMAGES - 4
    assert output.read_bytes() == whole.read_bytes()


def test_a_second_run_loads_neither_torch_nor_mmdetection(data: Path, whole: Path) -> None:
    before = whole.read_bytes()
    run = python(AGAIN, data, whole)
    assert run.returncode == 0, run.stderr
    assert whole.read_bytes() == before


def test_workers_change_nothing(data: Path, whole: Path, tmp_path: Path) -> None:
    find(data, tmp_path / "parts.h5", workers=2)
    assert (tmp_path / "parts.h5").read_bytes() == whole.read_bytes()


def test_the_ranks_of_torchrun_share_the_images(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "parts.h5"
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert find(data, output).made_now == 8 + 2
    assert not output.exists()
    monkeypatch.setenv("RANK", "0")
    assert find(data, output).made_now == 12
    assert output.read_bytes() == whole.read_bytes()


def test_a_cache_or_shards_of_another_detector_are_refused(data: Path, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"made with weights_sha256 = .* delete it"):
        find(data, whole, weights="other.safetensors")
    output = tmp_path / "parts.h5"
    assert python(KILLED, data, output).returncode == -9
    with pytest.raises(UserError, match="made with weights_sha256"):
        find(data, output, weights="other.safetensors")


def test_a_second_run_at_the_same_time_is_refused(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "parts.h5"
    with run_lock(shards_folder(output)), pytest.raises(UserError, match="another run"):
        find(data, output)


def test_no_images_is_an_error(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no images"):
        detect_parts([], data, data / "w.safetensors", tmp_path / "parts.h5", dataset="toy", device="cpu", workers=0)
