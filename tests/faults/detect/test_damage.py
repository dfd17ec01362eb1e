"""Files of stage one that changed after they were written: shards are made again, a finished cache is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cli import main
from data_cache.parts.shards import shards_folder
from helpers.faults.detection import Ended, here, leftovers, one_line
from helpers.faults.traps import Fail, Watch
from helpers.places.stand_in import SHARD, data_set, words

IMAGES, FLIPS = 27, 40


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures for five shards, and beside them the cache of an undisturbed run."""
    folder = data_set(tmp_path_factory.mktemp("data") / "toy", IMAGES)
    assert here(words(folder, folder.parent / "whole.h5")).code == 0
    return folder


@pytest.fixture(scope="module")
def unmerged(data: Path) -> Path:
    """The output of a run that made all shards and then could not merge them."""
    output = data.parent / "unmerged" / "parts.h5"
    shards = -(-IMAGES // SHARD)
    assert here(words(data, output), Fail(shards + 1, "mkstemp")).code == 1
    assert len(list(shards_folder(output).glob("*.h5"))) == shards and not output.exists()
    return output


def copied(unmerged: Path, place: Path) -> tuple[Path, list[Path]]:
    """Return an output whose shards are a copy, and the shards."""
    shutil.copytree(unmerged.parent, place)
    return place / unmerged.name, sorted(shards_folder(place / unmerged.name).glob("*.h5"))


def assert_made_again(data: Path, output: Path, damaged: list[Path]) -> None:
    """Assert that the next run names the damaged shards, makes those alone again, and ends as if nothing had been."""
    images = sum(3 if path.name.startswith("000004") else SHARD for path in damaged)
    watch = Watch(name="write_bytes")
    ended = here(words(data, output), watch)
    assert ended.code == 0, ended.told
    assert all(f"{path}: damaged" in ended.told for path in damaged)
    assert f"resuming: {IMAGES - images} of {IMAGES} images were finished before" in ended.told
    assert len(watch.seen) == len(damaged) + 1  # and the cache
    assert output.read_bytes() == (data.parent / "whole.h5").read_bytes()
    assert leftovers(output) == []


@pytest.mark.parametrize("length", ["nothing", "one byte", "half", "all but one byte", "one byte more"])
def test_a_shard_of_another_length_is_named_and_made_again(
    data: Path, unmerged: Path, tmp_path: Path, length: str
) -> None:
    output, shards = copied(unmerged, tmp_path / "run")
    for path in shards[1::2]:
        whole = path.read_bytes()
        lengths = {"nothing": 0, "one byte": 1, "half": len(whole) // 2, "all but one byte": len(whole) - 1}
        path.write_bytes(whole[: lengths[length]] if length in lengths else whole + b"\0")
    assert_made_again(data, output, shards[1::2])


def test_a_shard_with_a_flipped_bit_is_named_and_made_again(data: Path, unmerged: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(FLIPS):
        output, shards = copied(unmerged, tmp_path / str(number))
        path = shards[int(random.integers(len(shards)))]
        flip(path, int(random.integers(8 * path.stat().st_size)))
        assert_made_again(data, output, [path])


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << (bit % 8)
    path.write_bytes(content)


def test_shards_that_changed_places_are_made_again(data: Path, unmerged: Path, tmp_path: Path) -> None:
    output, shards = copied(unmerged, tmp_path / "run")
    first, second = shards[0].read_bytes(), shards[1].read_bytes()
    shards[0].write_bytes(second)
    shards[1].write_bytes(first)
    ended = here(words(data, output))
    assert ended.code == 0 and f"resuming: {IMAGES - 2 * SHARD} of {IMAGES}" in ended.told
    assert output.read_bytes() == (data.parent / "whole.h5").read_bytes()


def test_what_else_lies_among_the_shards_does_no_harm(data: Path, unmerged: Path, tmp_path: Path) -> None:
    output, shards = copied(unmerged, tmp_path / "run")
    shutil.copy(shards[0], shards[0].with_name("000099.h5"))  # of a longer list of images
    (shards[0].parent / ".000001.h5.k1ll3d.tmp").write_bytes(b"half")
    assert_made_again(data, output, [])


def commands(data: Path, output: Path) -> dict[str, list[str]]:
    """Return the commands that read the part cache of `data`, which lies where stage two looks for it."""
    where = ["--dataset", "folder", "--data-root", str(data), "--runs", str(output.parents[1])]
    return {
        "detect": words(data, output),
        "verify": ["cache", "verify", str(output)],
        "verify with the data": ["cache", "verify", str(output), "--dataset", "folder", "--data-root", str(data)],
        "statistics": ["cache", "stats", str(output)],
        "train": ["train", *where, "--recipe", "pgan", "--device", "cpu"],
    }


def invoke(arguments: list[str]) -> Ended:
    if arguments[0] == "detect":
        return here(arguments)
    result = CliRunner().invoke(main, arguments)
    assert isinstance(result.exception, SystemExit), result.exception
    return Ended(result.exit_code, result.output)


@pytest.mark.parametrize("command", ["detect", "verify", "verify with the data", "statistics", "train"])
def test_a_finished_cache_that_is_damaged_is_refused_by_name_and_kept(data: Path, tmp_path: Path, command: str) -> None:
    output = tmp_path / "folder" / "parts.h5"
    output.parent.mkdir()
    sound = (data.parent / "whole.h5").read_bytes()
    random = np.random.default_rng(1)
    damages = [sound[:0], sound[:1], sound[: len(sound) // 2], sound[:-1], sound + b"\0"]
    for bit in random.integers(0, 8 * len(sound), FLIPS if command == "detect" else 8):
        content = bytearray(sound)
        content[bit // 8] ^= 1 << (bit % 8)
        damages.append(bytes(content))
    for damaged in damages:
        output.write_bytes(damaged)
        remedy = "delete it and run `python cli.py detect` again"
        one_line(invoke(commands(data, output)[command]), f"{output}: damaged part cache", remedy)
        assert output.read_bytes() == damaged and leftovers(output) == []
