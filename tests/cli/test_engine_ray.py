"""`--engine ray`: the bytes of one process, whatever is killed or stopped, and its errors."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from data_cache.base.errors import UserError
from data_cache.engine import queue
from data_cache.engine.session import ray_session
from data_cache.parts.cache import STATUS_FAILED, read_parts
from data_cache.parts.shards import shards_folder
from detect.extraction import ray_tasks as detection
from detect.extraction.run import DetectionSummary
from detect.model.ssd import build_network
from detect.model.weights import write_weights
from helpers.faults import killed_workers
from helpers.paths import ROOT, TESTS
from helpers.places.web_folder import served
from helpers.toy import annotations
from helpers.toy.annotations import TINY, detect_toy
from helpers.toy.features import RESUMING, extracted, load_tiny, only_the_file, stopped_after
from helpers.toy.vehicles import Toy, toy_set
from reid.features import ray_tasks as features

ray_package = pytest.importorskip("ray", reason="the extra ray is not installed")
pytestmark = pytest.mark.usefixtures("ray", "tiny_network", "small_feature_blocks")
IMAGES = 22


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    """Two workers for all tests of this file, which find the modules of this checkout."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (ROOT, TESTS))))
        for name in ("RAY_ADDRESS", "RANK", "WORLD_SIZE"):
            patch.delenv(name, raising=False)
        patch.setattr(features, "load", load_tiny)
        with ray_session(2):
            yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Toy images, one of them truncated, and a detector with random weights."""
    folder = tmp_path_factory.mktemp("data") / "toy"
    annotations.toy_set(folder, IMAGES)
    bad = folder / "images/0005.png"
    bad.write_bytes(bad.read_bytes()[:2000])
    torch.manual_seed(0)
    write_weights(folder / "w.safetensors", build_network(TINY), TINY)
    return folder


@pytest.fixture(scope="module")
def whole(data: Path) -> Path:
    """The part cache of one process."""
    detect_toy(data, data.parent / "whole/parts.h5")
    return data.parent / "whole/parts.h5"


def detect(data: Path, output: Path, engine: str = "ray") -> DetectionSummary:
    summary = detect_toy(data, output, workers=2, engine=engine)
    assert summary is not None
    return summary


def test_a_killed_worker_changes_no_byte_of_the_part_cache(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detection, "make_shard", killed_workers.make_shard)
    summary = detect(data, tmp_path / "parts.h5")
    assert (tmp_path / killed_workers.MARKER).exists()
    assert (tmp_path / "parts.h5").read_bytes() == whole.read_bytes()
    assert summary.made_now == IMAGES and summary.first_failure.startswith("images/0005.png (")
    assert not shards_folder(tmp_path / "parts.h5").exists()


@pytest.mark.parametrize("engine", ["process", "ray"])
def test_a_stopped_run_resumes_with_and_without_ray(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    output, write, written = tmp_path / "parts.h5", detection.write_atomically, []

    def stop_after_two(path: Path, content: bytes) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(detection, "write_atomically", stop_after_two)
        with pytest.raises(KeyboardInterrupt):
            detect(data, output)
    assert sorted(shards_folder(output).iterdir()) == sorted(written) and not output.exists()
    made = IMAGES - sum(len(read_parts(path).names) for path in written)
    assert detect(data, output, engine).made_now == made
    assert output.read_bytes() == whole.read_bytes()


def test_failed_images_are_retried(data: Path, whole: Path, tmp_path: Path) -> None:
    fixed = shutil.copytree(data, tmp_path / "toy")
    shutil.copy(fixed / "images/0006.png", fixed / "images/0005.png")
    outputs = [Path(shutil.copy(whole, tmp_path / f"{engine}.h5")) for engine in ("process", "ray")]
    for output in outputs:
        assert detect(fixed, output, output.stem).made_now == 1
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    assert not (read_parts(outputs[1]).status == STATUS_FAILED).any()


def test_a_machine_without_the_images_fails_no_image(data: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(data, tmp_path / "toy")
    names = [path.relative_to(moved).as_posix() for path in moved.glob("images/*.png")]
    job = annotations.prepare_job(names, moved, data / "w.safetensors", tmp_path / "parts.h5", dataset="toy")
    shutil.rmtree(moved)
    with pytest.raises(UserError, match=r"no such folder on .*; all workers must read the images"):
        detection.write_shards_in_ray(job, job.shards, device="cpu", workers=2, batch_size=3)


def test_a_job_that_always_kills_its_worker_ends_the_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "RETRIES", 0)  # so that a kill is one too many
    monkeypatch.setattr(detection, "make_shard", killed_workers.make_shard)
    with pytest.raises(UserError, match="workers were killed 1 times at the same work"):
        detect(data, tmp_path / "parts.h5")


def test_a_killed_worker_changes_no_byte_of_the_features(
    toy: Toy,
    uninterrupted_features: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "features.safetensors"
    stopped_after(toy, path, 1)
    monkeypatch.setattr(features, "embed_block", killed_workers.embed_block)
    extracted(toy, path, workers=2, engine="ray")
    assert (toy.dataset.root / killed_workers.MARKER).exists()
    assert RESUMING.format(6) in capsys.readouterr().err
    assert path.read_bytes() == uninterrupted_features and only_the_file(path)


def test_workers_read_images_at_an_address(data: Path, toy: Toy, uninterrupted_features: bytes, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp", reason="the extra remote is not installed")
    names = [f"images/{path.name}" for path in data.glob("images/*.png") if path.name != "0005.png"]
    with served(data) as root:
        for engine, place in (("process", data), ("ray", root)):
            output = tmp_path / engine / "parts.h5"
            job = annotations.prepare_job(names, place, data / "w.safetensors", output, dataset="toy", shard_size=4)
            annotations.detect_parts(job, device="cpu", workers=0, batch_size=3, engine=engine)
    assert (tmp_path / "ray/parts.h5").read_bytes() == (tmp_path / "process/parts.h5").read_bytes()
    path = tmp_path / "features.safetensors"
    with served(toy.dataset.root) as root:
        extracted(toy._replace(dataset=replace(toy.dataset, root=root)), path, engine="ray")
    assert path.read_bytes() == uninterrupted_features


def test_an_image_that_cannot_be_read_is_the_error_of_one_process(tmp_path: Path) -> None:
    toy, path = toy_set(tmp_path / "set", trained=3, tested=4), tmp_path / "out/features.safetensors"
    bad = toy.dataset.root / "images/04-1.jpg"
    bad.write_bytes(bad.read_bytes()[:300])
    messages = []
    for engine in ("process", "ray"):
        with pytest.raises(UserError) as error:
            extracted(toy, path, engine=engine)
        messages.append(str(error.value))
        assert not path.exists()
    assert messages[0] == messages[1] and messages[0].startswith(f"{bad}: ")


def test_a_gpu_that_no_worker_has_is_refused(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["images/0000.png"]
    job = annotations.prepare_job(names, data, data / "w.safetensors", tmp_path / "parts.h5", dataset="toy")
    monkeypatch.setattr(ray_package, "cluster_resources", lambda: {"CPU": 2.0})  # this machine may have one
    with pytest.raises(UserError, match="no machine of the Ray cluster has a GPU"):
        detection.write_shards_in_ray(job, job.shards, device="cuda", workers=1, batch_size=3)
