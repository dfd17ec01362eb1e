"""Stage one as a whole: the same bytes however it was stopped, shared out or read, and a row for every image."""

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
from data_cache.parts.source_files import FILES, made_by
from detect.extraction.run import DetectionSummary, pack_parts
from detect.model.nms import PartBatch
from detect.model.reading import ReadBatch
from detect.model.ssd import build_network
from detect.model.weights import write_weights
from helpers.toy.annotations import TINY, find, toy_set

IMAGES = 22
RUN = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [".", "tests"]
from helpers.toy.annotations import find
data, output = Path(sys.argv[1]), Path(sys.argv[2])
"""
DYING = (
    RUN
    + """
import detect.extraction.run
write, count, rank = detect.extraction.run.write_parts, 0, os.environ.get("RANK", "0")
def stop_early(path, parts):
    global count
    write(path, parts)
    count += 1
    if rank == os.environ.get("DYING", "0") and count == int(os.environ.get("AFTER", "2")):
        os.kill(os.getpid(), getattr(signal, os.environ.get("SIGNAL", "SIGKILL")))
detect.extraction.run.write_parts = stop_early
find(data, output)
"""
)
AGAIN = (
    RUN
    + """
summary = find(data, output)
assert summary.made_now == 0 and summary.statistics.images == 22, summary
heavy = {"torch", "torchvision", "mmdet", "mmcv", "mmengine", "pandas", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""
)
ALONE = RUN + "find(data, output)\n"


def python(code: str, *arguments: Path, ranks: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a process of its own, or in `ranks` of them under torchrun."""
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


def done(summary: DetectionSummary | None) -> DetectionSummary:
    assert summary is not None
    return summary


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


@pytest.fixture(scope="module")
def half(data: Path) -> Path:
    """The folder that a run leaves which was killed after two of its six shards."""
    output = data.parent / "half" / "parts.h5"
    run = python(DYING, data, output)
    assert run.returncode == -9 and not output.exists(), run.stderr
    assert sorted(path.name for path in shards_folder(output).glob("*.h5")) == ["000000.h5", "000001.h5"]
    return output.parent


@pytest.fixture
def stopped(half: Path, tmp_path: Path) -> Path:
    """The output of a run that was killed after two of its six shards."""
    return Path(shutil.copytree(half, tmp_path / "stopped")) / "parts.h5"


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


def test_the_summary_counts_what_was_found_and_what_failed(data: Path, tmp_path: Path) -> None:
    summary = done(find(data, tmp_path / "parts.h5"))
    told = summary.to_dict()
    assert (told["images"], told["found"], told["empty"], told["failed"]) == (IMAGES, IMAGES - 1, 0, 1)
    assert told["made_now"] == IMAGES and told["images_per_second"] == pytest.approx(IMAGES / told["seconds"])
    assert told["boxes"] == sum(part["boxes"] for part in told["parts"]) == (IMAGES - 1) * TINY.top_k
    ((reason, count),) = told["failures"].items()
    assert reason.startswith("damaged image") and count == 1
    assert told["first_failure"].startswith("images/0005.png (")
    again = done(find(data, tmp_path / "parts.h5"))
    assert (again.made_now, again.images_per_second) == (0, None)


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    data: Path, whole: Path, stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = done(find(data, stopped))
    assert summary.made_now == IMAGES - 8 and "8 of 22 images were finished before" in capsys.readouterr().err
    assert stopped.read_bytes() == whole.read_bytes()


def test_a_terminated_run_tells_so_and_leaves_neither_lock_nor_temporary_file(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "parts.h5"
    run = python(DYING, data, output, SIGNAL="SIGTERM")
    assert run.returncode == 1 and "stopped from outside (SIGTERM)" in run.stderr
    left = sorted(path.name for path in shards_folder(output).iterdir())
    assert left == ["000000.h5", "000001.h5"] and not output.exists()


def test_a_damaged_shard_is_made_again(data: Path, whole: Path, stopped: Path) -> None:
    shard = sorted(shards_folder(stopped).glob("*.h5"))[0]
    shard.write_bytes(shard.read_bytes()[:-100])
    assert done(find(data, stopped)).made_now == IMAGES - 4
    assert stopped.read_bytes() == whole.read_bytes()


def test_a_second_run_loads_neither_torch_nor_mmdetection(data: Path, whole: Path) -> None:
    before = whole.read_bytes()
    run = python(AGAIN, data, whole)
    assert run.returncode == 0, run.stderr
    assert whole.read_bytes() == before


def test_workers_change_nothing(data: Path, whole: Path, tmp_path: Path) -> None:
    find(data, tmp_path / "parts.h5", workers=2)
    assert (tmp_path / "parts.h5").read_bytes() == whole.read_bytes()


def test_two_processes_of_torchrun_make_the_cache_of_one(data: Path, whole: Path, tmp_path: Path) -> None:
    output = tmp_path / "parts.h5"
    run = python(ALONE, data, output, ranks=2)
    assert run.returncode == 0, run.stderr
    assert output.read_bytes() == whole.read_bytes() and not shards_folder(output).exists()


def test_a_process_that_dies_ends_torchrun_and_one_process_can_go_on(data: Path, whole: Path, tmp_path: Path) -> None:
    output = tmp_path / "parts.h5"
    run = python(DYING, data, output, ranks=2, DYING="1", AFTER="1")
    assert run.returncode != 0 and "SIGKILL" in run.stderr and not output.exists()
    left = {path.name for path in shards_folder(output).iterdir()}
    assert {"000001.h5"} <= left <= {f"00000{index}.h5" for index in (0, 1, 2, 4)}
    assert done(find(data, output)).made_now < IMAGES
    assert output.read_bytes() == whole.read_bytes()


def test_shards_of_one_process_are_finished_for_more_and_only_the_first_talks(
    data: Path, whole: Path, stopped: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert find(data, stopped) is None and not stopped.exists()
    assert len(list(shards_folder(stopped).glob("*.h5"))) == 4
    assert capfd.readouterr() == ("", "")
    monkeypatch.setenv("RANK", "0")
    assert done(find(data, stopped)).made_now == 4 + 4
    assert stopped.read_bytes() == whole.read_bytes()
    monkeypatch.setenv("RANK", "1")  # comes late
    assert find(data, stopped) is None and not shards_folder(stopped).exists()


def test_a_cache_or_shards_of_another_detector_are_refused(data: Path, whole: Path, stopped: Path) -> None:
    with pytest.raises(UserError, match=r"made with weights_sha256 = .* delete it"):
        find(data, whole, weights="other.safetensors")
    with pytest.raises(UserError, match="made with weights_sha256"):
        find(data, stopped, weights="other.safetensors")


@pytest.mark.parametrize("ranks", ["1", "2"])
def test_a_second_run_at_the_same_time_is_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranks: str
) -> None:
    output = tmp_path / "parts.h5"
    monkeypatch.setenv("WORLD_SIZE", ranks)
    monkeypatch.setenv("RANK", "0")
    with run_lock(shards_folder(output)), pytest.raises(UserError, match="another run"):
        find(data, output)


def test_an_image_that_was_mended_is_found_by_the_next_run(
    data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, good = tmp_path / "parts.h5", data / "images/0006.png"
    shutil.copy(whole, output)
    bad = data / "images/0005.png"
    damaged = bad.read_bytes()
    try:
        bad.write_bytes(good.read_bytes())
        summary = done(find(data, output))
    finally:
        bad.write_bytes(damaged)
    assert summary.made_now == 1 and summary.statistics.failed == 0
    assert "1 images that failed can be read now, first images/0005.png" in capsys.readouterr().err
    before, after = read_parts(whole), read_parts(output)
    assert after.failure == ("",) * IMAGES and made_by(after) == made_by(before)
    assert after.fingerprint[FILES] != before.fingerprint[FILES]  # one more image is told of
    np.testing.assert_allclose(after.boxes[5], after.boxes[6], atol=0.5)
    others = np.arange(IMAGES) != 5
    assert np.array_equal(after.boxes[others], before.boxes[others])
    assert not shards_folder(output).exists()


def test_packing_tells_found_from_empty_from_failed() -> None:
    labels = torch.tensor([[3, -1], [-1, -1], [-1, -1]])
    boxes = torch.zeros(3, 2, 4)
    boxes[0, 0] = torch.tensor([1.0, 2, 3, 4])
    scores = torch.tensor([[0.5, 0], [0, 0], [0, 0]])
    sizes = np.array([[9, 8], [9, 8], [0, 0]], np.int32)
    read = [ReadBatch(("a",), torch.empty(0), sizes[:1], ("",))]
    read += [ReadBatch(("b", "c"), torch.empty(0), sizes[1:], ("", "c: no such file"))]
    found = [PartBatch(boxes[rows], scores[rows], labels[rows]) for rows in (slice(0, 1), slice(1, 3))]
    parts = pack_parts(read, found, {"detector": "toy"})
    assert parts.status.tolist() == [STATUS_FOUND, STATUS_EMPTY, STATUS_FAILED]
    assert parts.names == ("a", "b", "c") and parts.failure == ("", "", "c: no such file")
    assert parts.boxes[0, 0].tolist() == [1, 2, 3, 4] and parts.labels.dtype == np.int8
    assert parts.image_size.tolist() == sizes.tolist() and parts.fingerprint == {"detector": "toy"}
