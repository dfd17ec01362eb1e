"""Files of stage one that changed after they were written: shards are made again, a finished cache is refused."""

import errno
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cli import main
from data_cache.base.options import command_file
from data_cache.parts.shards import shards_folder
from helpers.faults.detection import assert_one_line, here, leftovers
from helpers.faults.processes import Ended
from helpers.faults.traps import Trap
from helpers.places.stand_in import SHARD, data_set, words
from soak.inputs.mutation import flipped

IMAGES, SHARDS, FLIPS = 27, 5, 20


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
    output.parent.mkdir()
    assert here(words(data, output), Trap(output.parent, SHARDS + 1, errno.EIO, only=("rename",))).code == 1
    assert len(list(shards_folder(output).glob("*.h5"))) == SHARDS and not output.exists()
    return output


def copied(unmerged: Path, place: Path) -> tuple[Path, list[Path]]:
    """Return an output whose shards are a copy, and the shards."""
    shutil.copytree(unmerged.parent, place)
    return place / unmerged.name, sorted(shards_folder(place / unmerged.name).glob("*.h5"))


def assert_made_again(data: Path, output: Path, damaged: list[Path]) -> None:
    """Assert that the next run names the damaged shards, makes only those again, and ends as if undisturbed."""
    images = sum(3 if path.name.startswith("000004") else SHARD for path in damaged)
    trap = Trap(output.parent, only=("rename",))
    ended = here(words(data, output), trap)
    assert ended.code == 0, ended.output
    assert all(f"{path}: damaged" in ended.output for path in damaged)
    assert f"resuming: {IMAGES - images} of {IMAGES} images were finished before" in ended.output
    assert [path for _, path in trap.seen] == [*damaged, output, command_file(output)]
    assert output.read_bytes() == (data.parent / "whole.h5").read_bytes()
    assert leftovers(output) == []


def test_damaged_shards_are_named_and_made_again(data: Path, unmerged: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(FLIPS):
        output, shards = copied(unmerged, tmp_path / str(number))
        path = shards[number % SHARDS]
        whole = path.read_bytes()
        cuts = [b"", whole[:1], whole[: len(whole) // 2], whole[:-1], whole + b"\0"]
        path.write_bytes(cuts[number] if number < len(cuts) else flipped(whole, int(random.integers(8 * len(whole)))))
        assert_made_again(data, output, [path])


def test_swapped_shards_are_made_again(data: Path, unmerged: Path, tmp_path: Path) -> None:
    output, shards = copied(unmerged, tmp_path / "run")
    first, second = shards[0].read_bytes(), shards[1].read_bytes()
    shards[0].write_bytes(second)
    shards[1].write_bytes(first)
    ended = here(words(data, output))
    assert ended.code == 0 and f"resuming: {IMAGES - 2 * SHARD} of {IMAGES}" in ended.output
    assert output.read_bytes() == (data.parent / "whole.h5").read_bytes()


def test_other_files_among_the_shards_do_no_harm(data: Path, unmerged: Path, tmp_path: Path) -> None:
    output, shards = copied(unmerged, tmp_path / "run")
    shutil.copy(shards[0], shards[0].with_name("000099.h5"))  # of a longer list of images
    (shards[0].parent / ".000001.h5.k1ll3d.tmp").write_bytes(b"half")
    assert_made_again(data, output, [])


@pytest.mark.parametrize("command", ["detect", "verify", "verify with the data", "statistics", "train"])
def test_damaged_finished_cache_is_refused_by_name_and_kept(data: Path, tmp_path: Path, command: str) -> None:
    output = tmp_path / "folder" / "parts.h5"
    output.parent.mkdir()
    where = ["--dataset", "folder", "--data-root", str(data)]
    arguments = {
        "detect": words(data, output),
        "verify": ["cache", "verify", str(output)],
        "verify with the data": ["cache", "verify", str(output), *where],
        "statistics": ["cache", "stats", str(output)],
        "train": ["train", *where, "--runs", str(tmp_path), "--recipe", "pgan", "--device", "cpu"],
    }[command]
    given = [] if command in ("verify", "statistics") else where
    place = ["--runs", str(tmp_path)] if command == "train" else ["--output", str(output)]
    remedy = f"delete it and run `python cli.py {shlex.join(['detect', *given, *place])}` again"
    sound = (data.parent / "whole.h5").read_bytes()
    bits = np.random.default_rng(1).integers(0, 8 * len(sound), FLIPS if command == "detect" else 4)
    damages = [b"", sound[:1], sound[: len(sound) // 2], sound[:-1], sound + b"\0"]
    for damaged in [*damages, *(flipped(sound, int(bit)) for bit in bits)]:
        output.write_bytes(damaged)
        if command == "detect":
            ended = here(arguments)
        else:
            result = CliRunner().invoke(main, arguments)
            ended = Ended(result.exit_code, result.output)
        assert_one_line(ended, f"{output}: damaged part cache", remedy)
        assert output.read_bytes() == damaged and leftovers(output) == []
