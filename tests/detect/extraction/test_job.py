"""What a pass is to make: decided without torch, told by its plan, and never another's cache for one's own."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from data_cache.base.errors import UserError
from data_cache.parts.cache import read_parts, write_parts
from data_cache.parts.merging import Source, merge_caches
from data_cache.parts.source_files import FILES, files_replaced, with_files
from detect.extraction.job import DetectionJob, prepare_job
from detect.model.ssd import build_network
from detect.model.weights import write_weights
from helpers.parts import sliced
from helpers.toy.annotations import TINY, find, toy_set

IMAGES = 6


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Toy images and a detector with random weights."""
    folder = tmp_path_factory.mktemp("data") / "toy"
    toy_set(folder, IMAGES)
    torch.manual_seed(0)
    write_weights(folder / "w.safetensors", build_network(TINY), TINY)
    return folder


def job_of(data: Path, output: Path, limit: int | None = None, shard_size: int = 4) -> DetectionJob:
    names = sorted(path.relative_to(data).as_posix() for path in data.glob("images/*.png"))
    shuffled = [names[place] for place in np.random.default_rng(0).permutation(len(names))]
    return prepare_job(
        [*shuffled, names[0]], data, data / "w.safetensors", output, dataset="toy", limit=limit, shard_size=shard_size
    )


def test_names_are_sorted_once_each_and_cut_into_shards(data: Path, tmp_path: Path) -> None:
    job = job_of(data, tmp_path / "parts.h5")
    assert job.names == tuple(f"images/{number:04d}.png" for number in range(IMAGES))
    assert [len(shard.names) for shard in job.shards] == [4, 2]
    assert [shard.path.name for shard in job.shards] == ["000000.h5", "000001.h5"]


def test_a_limit_takes_the_first_by_name_and_stands_in_the_fingerprint(data: Path, tmp_path: Path) -> None:
    whole, some = job_of(data, tmp_path / "parts.h5"), job_of(data, tmp_path / "parts.h5", limit=3)
    assert some.names == whole.names[:3]
    assert some.fingerprint["limit"] == 3 and "limit" not in whole.fingerprint
    every = job_of(data, tmp_path / "parts.h5", limit=IMAGES)
    assert every.names == whole.names and every.fingerprint != whole.fingerprint


def test_a_limited_cache_is_not_taken_for_a_whole_one_nor_the_other_way(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "parts.h5"
    summary = find(data, output, limit=3)
    assert summary is not None and summary.statistics.images == 3
    assert read_parts(output).fingerprint["limit"] == 3
    with pytest.raises(UserError, match=r"parts\.h5: made with limit = 3, this run needs None; .*--output"):
        job_of(data, output).finished()
    with pytest.raises(UserError, match="made with limit = 3, this run needs 4"):
        find(data, output, limit=4)
    output.unlink()
    find(data, output)
    with pytest.raises(UserError, match="made with limit = None, this run needs 3"):
        find(data, output, limit=3)


def test_pictures_of_the_same_names_in_another_folder_are_not_taken_for_these(data: Path, tmp_path: Path) -> None:
    output, other = tmp_path / "parts.h5", tmp_path / "tuesday"
    find(data, output)
    shutil.copytree(data, tmp_path / "copy")
    job_of(tmp_path / "copy", output).finished()
    toy_set(other, IMAGES, seed=5)
    shutil.copy(data / "w.safetensors", other)
    with pytest.raises(
        UserError, match=rf"parts\.h5: of images that have been replaced since, below {other}; delete it"
    ):
        find(other, output)


def test_a_cache_of_other_images_is_refused_with_how_many_and_what_to_do(data: Path, tmp_path: Path) -> None:
    output, more = tmp_path / "parts.h5", shutil.copytree(data, tmp_path / "more")
    find(data, output)
    shutil.copy(more / "images/0000.png", more / "images/0009.png")
    with pytest.raises(UserError, match=r"run's: 1 are new, first images/0009\.png; .*cache merge"):
        find(more, output)
    (more / "images/0003.png").unlink()
    with pytest.raises(UserError, match=r"1 are new, first images/0009\.png; 1 are in it alone, first images/0003"):
        find(more, output)
    assert job_of(data, output).finished() is not None  # and nothing was lost


def test_a_plan_tells_what_is_left_and_writes_nothing(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "deep" / "parts.h5"
    plan = job_of(data, output).plan()
    assert (plan.images, plan.finished, plan.architecture) == (IMAGES, 0, TINY.architecture)
    assert list(tmp_path.iterdir()) == []
    find(data, output)
    assert job_of(data, output).plan().finished == IMAGES
    lines = job_of(data, output, limit=None).plan().lines()
    assert "6 of toy" in lines and "finished: 6; to do: 0" in lines and str(data / "w.safetensors") in lines
    assert job_of(data, output).plan().to_dict()["output"] == str(output)


def test_a_plan_counts_the_shards_that_a_stopped_run_left(data: Path, tmp_path: Path) -> None:
    find(data, tmp_path / "parts.h5")
    job = job_of(data, tmp_path / "parts.h5")
    parts = read_parts(job.output)
    first = job.shards[0]
    job.output.rename(tmp_path / "aside.h5")
    write_parts(first.path, with_files(sliced(parts, slice(0, 4)), data))
    assert job.missing(job.shards) == [job.shards[1]]
    assert job.plan().finished == 4


def test_no_images_and_no_weights_are_told(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no images"):
        prepare_job([], data, data / "w.safetensors", tmp_path / "parts.h5", dataset="toy")
    with pytest.raises(UserError, match=r"no\.safetensors: no such file"):
        prepare_job(["a.png"], data, data / "no.safetensors", tmp_path / "parts.h5", dataset="toy")


def test_caches_of_two_halves_tell_the_files_of_the_whole(data: Path, tmp_path: Path) -> None:
    """Also where a folder is put before the names; of doubled images nothing is told."""
    find(data, tmp_path / "whole.h5")
    whole = read_parts(tmp_path / "whole.h5")
    halves = [with_files(sliced(whole, slice(*ends)), data) for ends in ((0, 2), (2, IMAGES))]
    for number, half in enumerate(halves):
        write_parts(tmp_path / f"{number}.h5", half)
    merged = merge_caches([Source(tmp_path / "0.h5"), Source(tmp_path / "1.h5")])
    assert merged.fingerprint[FILES] == whole.fingerprint[FILES] != halves[0].fingerprint[FILES]
    shutil.copytree(data, tmp_path / "root" / "east")
    below = merge_caches([Source(tmp_path / "0.h5", "east/"), Source(tmp_path / "1.h5", "east/")])
    assert not files_replaced(below, tmp_path / "root")
    shutil.copy(data / "images/0000.png", tmp_path / "root" / "east" / "images/0003.png")
    assert files_replaced(below, tmp_path / "root")
    assert FILES not in merge_caches([Source(tmp_path / "0.h5"), Source(tmp_path / "whole.h5")]).fingerprint
