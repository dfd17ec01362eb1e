"""The plan of a detection run: made from files, and never reusing a cache of something else."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from data_cache.base.errors import UserError
from data_cache.base.tensors import load_tensors, save_tensors
from data_cache.parts.cache import read_parts, write_parts
from data_cache.parts.merging import Source, merge_caches
from data_cache.parts.source_files import FILES_KEY, files_replaced, with_files_hash
from detect.extraction.job import DetectionJob, prepare_job
from detect.model.ssd import build_network
from detect.model.weights import write_weights
from helpers.parts import sliced
from helpers.toy.annotations import TINY, detect_toy, toy_set

IMAGES = 6


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Toy images and a detector with random weights."""
    folder = tmp_path_factory.mktemp("data") / "toy"
    toy_set(folder, IMAGES)
    torch.manual_seed(0)
    write_weights(folder / "w.safetensors", build_network(TINY), TINY)
    return folder


@pytest.fixture(scope="module")
def cache(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The part cache of the toy images; tests do not change it."""
    output = tmp_path_factory.mktemp("cache") / "parts.h5"
    detect_toy(data, output)
    return output


def make_job(data: Path, output: Path, limit: int | None = None) -> DetectionJob:
    """Return the job for the toy images, given in random order, one of them twice."""
    names = sorted(path.relative_to(data).as_posix() for path in data.glob("images/*.png"))
    shuffled = [names[index] for index in np.random.default_rng(0).permutation(len(names))]
    images = [*shuffled, names[0]]
    return prepare_job(images, data, data / "w.safetensors", output, dataset="toy", limit=limit, shard_size=4)


def test_names_are_sorted_unique_and_split_into_shards(data: Path, tmp_path: Path) -> None:
    job = make_job(data, tmp_path / "parts.h5")
    assert job.names == tuple(f"images/{number:04d}.png" for number in range(IMAGES))
    assert [len(shard.names) for shard in job.shards] == [4, 2]
    assert [shard.path.name for shard in job.shards] == ["000000.h5", "000001.h5"]


def test_a_limit_takes_the_first_names_and_is_part_of_the_fingerprint(data: Path, tmp_path: Path) -> None:
    full, limited = make_job(data, tmp_path / "parts.h5"), make_job(data, tmp_path / "parts.h5", limit=3)
    assert limited.names == full.names[:3]
    assert limited.fingerprint["limit"] == 3 and "limit" not in full.fingerprint
    assert make_job(data, tmp_path / "parts.h5", limit=IMAGES).fingerprint != full.fingerprint


def test_limited_and_full_caches_are_not_interchangeable(data: Path, cache: Path, tmp_path: Path) -> None:
    output = tmp_path / "parts.h5"
    summary = detect_toy(data, output, limit=3)
    assert summary is not None and summary.statistics.images == 3
    with pytest.raises(UserError, match=r"parts\.h5: made with limit = 3, this run needs None; .*--output"):
        make_job(data, output).finished()
    with pytest.raises(UserError, match="made with limit = 3, this run needs 4"):
        detect_toy(data, output, limit=4)
    with pytest.raises(UserError, match="made with limit = None, this run needs 3"):
        detect_toy(data, cache, limit=3)


def test_replaced_images_of_the_same_names_are_detected(data: Path, cache: Path, tmp_path: Path) -> None:
    copy, other = shutil.copytree(data, tmp_path / "copy"), tmp_path / "other"
    assert make_job(copy, cache).finished() is not None
    toy_set(other, IMAGES, seed=5)
    shutil.copy(data / "w.safetensors", other)
    with pytest.raises(UserError, match=rf"parts\.h5: images below {other} were replaced since it was .*; delete it"):
        detect_toy(other, cache)


def test_a_cache_of_other_images_is_refused_with_the_difference_and_the_remedy(
    data: Path, cache: Path, tmp_path: Path
) -> None:
    more = shutil.copytree(data, tmp_path / "more")
    shutil.copy(more / "images/0000.png", more / "images/0009.png")
    with pytest.raises(UserError, match=r"run's: 1 are new, first images/0009\.png; .*cache merge --dataset toy "):
        detect_toy(more, cache)
    (more / "images/0003.png").unlink()
    with pytest.raises(
        UserError, match=r"1 are new, first images/0009\.png; 1 are only in the cache, first images/0003"
    ):
        detect_toy(more, cache)


def test_a_plan_counts_finished_images_and_writes_nothing(data: Path, cache: Path, tmp_path: Path) -> None:
    output = tmp_path / "deep" / "parts.h5"
    plan = make_job(data, output).plan()
    assert (plan["images"], plan["finished"], plan["architecture"]) == (IMAGES, 0, TINY.architecture)
    assert plan["output"] == str(output) and list(tmp_path.iterdir()) == []
    assert make_job(data, cache).plan()["finished"] == IMAGES


def test_a_plan_counts_the_shards_of_an_interrupted_run(data: Path, cache: Path, tmp_path: Path) -> None:
    job = make_job(data, tmp_path / "parts.h5")
    write_parts(job.shards[0].path, with_files_hash(sliced(read_parts(cache), slice(0, 4)), data))
    assert job.missing(job.shards) == [job.shards[1]]
    assert job.plan()["finished"] == 4


def test_no_images_or_no_weights_are_errors(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no images"):
        prepare_job([], data, data / "w.safetensors", tmp_path / "parts.h5", dataset="toy")
    with pytest.raises(UserError, match=r"no\.safetensors: no such file"):
        prepare_job(["a.png"], data, data / "no.safetensors", tmp_path / "parts.h5", dataset="toy")


def test_merged_caches_have_the_files_hash_of_the_whole(data: Path, cache: Path, tmp_path: Path) -> None:
    """Also with a folder before the names; without one if the caches share images."""
    whole = read_parts(cache)
    paths = [tmp_path / "0.h5", tmp_path / "1.h5"]
    for path, rows in zip(paths, (slice(0, 2), slice(2, IMAGES)), strict=True):
        write_parts(path, with_files_hash(sliced(whole, rows), data))
    assert merge_caches([Source(path) for path in paths]).fingerprint[FILES_KEY] == whole.fingerprint[FILES_KEY]
    shutil.copytree(data, tmp_path / "root" / "east")
    below = merge_caches([Source(path, "east/") for path in paths])
    assert not files_replaced(below, tmp_path / "root")
    shutil.copy(data / "images/0000.png", tmp_path / "root" / "east" / "images/0003.png")
    assert files_replaced(below, tmp_path / "root")
    assert FILES_KEY not in merge_caches([Source(paths[0]), Source(cache)]).fingerprint


def test_weights_of_an_older_version_give_the_fingerprint_that_they_gave_then(data: Path, tmp_path: Path) -> None:
    tensors, metadata, _ = load_tensors(data / "w.safetensors", "")
    older = {name: value for name, value in metadata["recipe"].items() if name != "anchors_per_part"}
    save_tensors(tmp_path / "w.safetensors", tensors, metadata | {"recipe": older})
    job = prepare_job(["a.png"], data, tmp_path / "w.safetensors", tmp_path / "parts.h5", dataset="toy")
    assert job.fingerprint["detector"] == older and job.recipe == TINY
    assert make_job(data, tmp_path / "parts.h5").fingerprint["detector"] == TINY.model_dump(mode="json")
