"""Stage one on a full disk or at an impossible place; `soak.storage` lets every one of its calls fail."""

import errno
import os
from pathlib import Path

import pytest

from data_cache.parts.shards import shards_folder
from helpers.faults.detection import assert_one_line, here, leftovers, start
from helpers.faults.traps import Trap
from helpers.places.stand_in import data_set, words


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures for two shards."""
    return data_set(tmp_path_factory.mktemp("data") / "few", 9)


def test_full_disk_ends_the_run_with_one_line_and_keeps_finished_shards(data: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.h5"
    trap = Trap(tmp_path, 3, errno.ENOSPC, only=("rename",))  # of the merged cache, after both shards
    assert here(words(data, whole), trap).code == 1
    sizes = [path.stat().st_size for path in shards_folder(whole).glob("*.h5")]
    assert len(sizes) == 2 and here(words(data, whole)).code == 0
    for largest, finished in ((min(sizes) // 2, 0), (whole.stat().st_size - 1, 2)):
        output = tmp_path / str(largest) / "parts.h5"
        output.parent.mkdir()
        ended = start(words(data, output), tmp_path / "log", largest=largest).wait()
        assert_one_line(ended, output.name, os.strerror(errno.EFBIG))
        assert len(list(shards_folder(output).glob("*.h5"))) == finished
        assert not list(output.parent.rglob("*.tmp"))
        assert here(words(data, output)).code == 0
        assert output.read_bytes() == whole.read_bytes() and leftovers(output) == []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("x" * 297 + ".h5", id="name too long"),
        pytest.param("x" * 250 + ".h5", id="name of the shard folder too long"),
        pytest.param("file/parts.h5", id="below a file"),
        pytest.param("busy.h5", id="shard folder is a file"),
        pytest.param("loop/parts.h5", id="below a loop of links"),
    ],
)
def test_impossible_output_is_refused_before_any_detection(data: Path, tmp_path: Path, name: str) -> None:
    for file in ("file", "busy.h5.shards"):
        (tmp_path / file).write_bytes(b"mine")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = sorted(tmp_path.iterdir())
    detections = Trap(Path("/"), only=("detect",))
    assert_one_line(here(words(data, tmp_path / name), detections), name)
    assert not detections.seen
    assert sorted(tmp_path.iterdir()) == before and (tmp_path / "busy.h5.shards").read_bytes() == b"mine"
