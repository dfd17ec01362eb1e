"""Stage one as a whole: the same bytes however it was interrupted, shared or loaded, and a row for every image."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from data_cache.base.errors import UserError
from data_cache.base.locks import run_lock
from data_cache.parts.cache import STATUS_EMPTY, STATUS_FAILED, STATUS_FOUND, read_parts
from data_cache.parts.shards import shards_folder
from data_cache.parts.source_files import FILES_KEY, run_fingerprint
from detect.extraction.run import DetectionSummary
from detect.extraction.shards import pack_parts
from detect.model.nms import PartBatch
from detect.model.reading import ReadBatch
from detect.model.ssd import build_network
from detect.model.weights import write_weights
from helpers.toy.annotations import TINY, detect_toy, toy_set

IMAGES = 22
START = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [".", "tests"]
from data_cache.base.signals import sigterm_raises
from helpers.toy.annotations import detect_toy
data, output = Path(sys.argv[1]), Path(sys.argv[2])
"""
RUN = START + "detect_toy(data, output)\n"
RUN_KILLED = (
    START
    + """
import detect.extraction.shards
write, count, rank = detect.extraction.shards.write_parts, 0, os.environ.get("RANK", "0")
def write_then_kill(path, parts):
    global count
    write(path, parts)
    count += 1
    if rank == os.environ.get("KILLED_RANK", "0") and count == int(os.environ.get("AFTER", "2")):
        os.kill(os.getpid(), getattr(signal, os.environ.get("SIGNAL", "SIGKILL")))
detect.extraction.shards.write_parts = write_then_kill
with sigterm_raises():
    detect_toy(data, output)
"""
)
RUN_AGAIN = (
    START
    + """
summary = detect_toy(data, output)
assert summary.made_now == 0 and summary.statistics.images == 22, summary
heavy = {"torch", "torchvision", "mmdet", "mmcv", "mmengine", "pandas", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""
)


def python(code: str, *arguments: Path, ranks: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a process of its own, or in `ranks` processes under torchrun."""
    command = [sys.executable, "-c", code]
    if ranks:
        script = arguments[1].parent / "job.py"
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(code)
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
        command = [sys.executable, *launcher, str(script)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | variables
    command += map(str, arguments)
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)


def detect(data: Path, output: Path, weights: str = "w.safetensors", workers: int = 0) -> DetectionSummary:
    """Run stage one as the only or first process."""
    summary = detect_toy(data, output, weights, workers=workers)
    assert summary is not None
    return summary


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Toy images, one of them truncated, and two detectors with random weights."""
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
    """The part cache of an uninterrupted run."""
    output = data.parent / "whole" / "parts.h5"
    summary = detect(data, output).to_dict()
    assert (summary["images"], summary["found"] + summary["empty"], summary["failed"]) == (IMAGES, IMAGES - 1, 1)
    assert summary["made_now"] == IMAGES and summary["first_failure"].startswith("images/0005.png (")
    assert summary["images_per_second"] == pytest.approx(IMAGES / summary["seconds"])
    return output


@pytest.fixture(scope="module")
def killed(data: Path) -> Path:
    """The folder of a run that was killed after two of its six shards."""
    output = data.parent / "killed" / "parts.h5"
    run = python(RUN_KILLED, data, output)
    assert run.returncode == -9 and not output.exists(), run.stderr
    assert sorted(path.name for path in shards_folder(output).glob("*.h5")) == ["000000.h5", "000001.h5"]
    return output.parent


@pytest.fixture
def interrupted(killed: Path, tmp_path: Path) -> Path:
    """The output of a run that was killed after two of its six shards."""
    return Path(shutil.copytree(killed, tmp_path / "interrupted")) / "parts.h5"


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


def test_a_killed_run_resumes_and_ends_with_the_same_bytes(
    data: Path, whole: Path, interrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert detect(data, interrupted).made_now == IMAGES - 8
    assert "resuming: 8 of 22 images were finished before" in capsys.readouterr().err
    assert interrupted.read_bytes() == whole.read_bytes()


def test_a_terminated_run_leaves_neither_lock_nor_temporary_file(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "parts.h5"
    run = python(RUN_KILLED, data, output, SIGNAL="SIGTERM")
    assert run.returncode == 1, run.stderr
    assert sorted(path.name for path in shards_folder(output).iterdir()) == ["000000.h5", "000001.h5"]
    assert not output.exists()


def test_a_damaged_shard_is_made_again(data: Path, whole: Path, interrupted: Path) -> None:
    shard = sorted(shards_folder(interrupted).glob("*.h5"))[0]
    shard.write_bytes(shard.read_bytes()[:-100])
    assert detect(data, interrupted).made_now == IMAGES - 4
    assert interrupted.read_bytes() == whole.read_bytes()


def test_a_second_run_does_nothing_and_imports_neither_torch_nor_mmdetection(data: Path, whole: Path) -> None:
    before = whole.read_bytes()
    run = python(RUN_AGAIN, data, whole)
    assert run.returncode == 0, run.stderr
    assert whole.read_bytes() == before
    assert detect(data, whole).images_per_second is None


def test_workers_change_no_byte(data: Path, whole: Path, tmp_path: Path) -> None:
    detect(data, tmp_path / "parts.h5", workers=2)
    assert (tmp_path / "parts.h5").read_bytes() == whole.read_bytes()


def test_two_processes_of_torchrun_make_the_same_cache(data: Path, whole: Path, tmp_path: Path) -> None:
    output = tmp_path / "parts.h5"
    run = python(RUN, data, output, ranks=2)
    assert run.returncode == 0, run.stderr
    assert output.read_bytes() == whole.read_bytes() and not shards_folder(output).exists()


def test_after_the_death_of_a_torchrun_process_a_single_one_can_resume(data: Path, whole: Path, tmp_path: Path) -> None:
    output = tmp_path / "parts.h5"
    run = python(RUN_KILLED, data, output, ranks=2, KILLED_RANK="1", AFTER="1")
    assert run.returncode != 0 and "SIGKILL" in run.stderr and not output.exists()
    left = {path.name for path in shards_folder(output).iterdir()}
    assert {"000001.h5"} <= left <= {f"00000{index}.h5" for index in (0, 1, 2, 4)}
    assert detect(data, output).made_now < IMAGES
    assert output.read_bytes() == whole.read_bytes()


def test_processes_of_torchrun_reuse_the_shards_of_a_single_run_and_only_the_first_prints(
    data: Path, whole: Path, interrupted: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert detect_toy(data, interrupted) is None and not interrupted.exists()
    assert len(list(shards_folder(interrupted).glob("*.h5"))) == 4
    assert capfd.readouterr() == ("", "")
    monkeypatch.setenv("RANK", "0")
    assert detect(data, interrupted).made_now == 4 + 4
    assert interrupted.read_bytes() == whole.read_bytes()
    monkeypatch.setenv("RANK", "1")  # starts late
    assert detect_toy(data, interrupted) is None and not shards_folder(interrupted).exists()


def test_a_cache_or_shards_of_another_detector_are_refused(data: Path, whole: Path, interrupted: Path) -> None:
    with pytest.raises(UserError, match=r"made with weights_sha256 = .* delete it"):
        detect(data, whole, "other.safetensors")
    with pytest.raises(UserError, match="made with weights_sha256"):
        detect(data, interrupted, "other.safetensors")


@pytest.mark.parametrize("ranks", ["1", "2"])
def test_a_second_run_at_the_same_time_is_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranks: str
) -> None:
    output = tmp_path / "parts.h5"
    monkeypatch.setenv("WORLD_SIZE", ranks)
    monkeypatch.setenv("RANK", "0")
    with run_lock(shards_folder(output)), pytest.raises(UserError, match="another run"):
        detect(data, output)


def test_failed_images_are_retried_when_readable(
    data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fixed, output = tmp_path / "toy", tmp_path / "parts.h5"
    shutil.copytree(data, fixed)
    shutil.copy(whole, output)
    shutil.copy(fixed / "images/0006.png", fixed / "images/0005.png")
    summary = detect(fixed, output)
    assert summary.made_now == 1 and summary.statistics.failed == 0
    assert "1 failed images can be read now, first images/0005.png" in capsys.readouterr().err
    before, after = read_parts(whole), read_parts(output)
    assert after.failure == ("",) * IMAGES and run_fingerprint(after) == run_fingerprint(before)
    assert after.fingerprint[FILES_KEY] != before.fingerprint[FILES_KEY]
    np.testing.assert_allclose(after.boxes[5], after.boxes[6], atol=0.5)
    others = np.arange(IMAGES) != 5
    assert np.array_equal(after.boxes[others], before.boxes[others])
    assert not shards_folder(output).exists()


def test_rows_have_the_status_found_empty_or_failed() -> None:
    labels = torch.tensor([[3, -1], [-1, -1], [-1, -1]])
    boxes = torch.zeros(3, 2, 4)
    boxes[0, 0] = torch.tensor([1.0, 2, 3, 4])
    scores = torch.tensor([[0.5, 0], [0, 0], [0, 0]])
    sizes = np.array([[9, 8], [9, 8], [0, 0]], np.int32)
    read = [
        ReadBatch(("a",), torch.empty(0), sizes[:1], ("",)),
        ReadBatch(("b", "c"), torch.empty(0), sizes[1:], ("", "c: no such file")),
    ]
    detected = [PartBatch(boxes[rows], scores[rows], labels[rows]) for rows in (slice(0, 1), slice(1, 3))]
    parts = pack_parts(read, detected, {"detector": "toy"})
    assert parts.status.tolist() == [STATUS_FOUND, STATUS_EMPTY, STATUS_FAILED]
    assert parts.names == ("a", "b", "c") and parts.failure == ("", "", "c: no such file")
    assert parts.boxes[0, 0].tolist() == [1, 2, 3, 4] and parts.labels.dtype == np.int8
    assert parts.image_size.tolist() == sizes.tolist() and parts.fingerprint == {"detector": "toy"}
