"""Stage one on storage that fails, is full, or is not there: one line, nothing lost, and a later run ends right."""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from data_cache.base.errors import UserError
from data_cache.parts.cache import encode_parts, write_parts
from data_cache.parts.shards import shards_folder
from helpers.faults.detection import Ended, here, leftovers, one_line, start, undisturbed_calls
from helpers.faults.traps import Fail, Watch, trapped
from helpers.parts import MakeParts
from helpers.places.stand_in import data_set, words

REASONS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EDQUOT)
# The system's calls that a run makes, and those that tidy up after it.
MAKING = ("mkdir", "open", "truncate", "write", "mkstemp", "write_bytes", "fsync", "chmod", "replace")
REMOVING = ("unlink", "rmdir")


@dataclass
class FailFrom(Fail):
    """Lets that call and all after it fail, as on a disk that has gone, or that became read-only."""

    def __call__(self, name: str, arguments: Sequence[Any]) -> None:
        """Take a call about to be made."""
        self.seen.append(name)
        if len(self.seen) >= self.at and name not in ("detect", "rmtree"):  # what they call fails instead
            self.act(name, arguments)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures for two shards."""
    return data_set(tmp_path_factory.mktemp("data") / "few", 9)


@pytest.fixture(scope="module")
def calls(data: Path) -> list[str]:
    return undisturbed_calls(data)


def run_with(data: Path, output: Path, trap: Fail, *, removes: bool) -> Ended:
    """Run with a failing call; hold that it ended well or with a line, and that a later run ends as if undisturbed.

    `removes`: whether files can be removed meanwhile, so that no temporary one may be left.
    """
    output.parent.mkdir(exist_ok=True)
    ended = here(words(data, output), trap)
    assert ended.code == 1 or output.exists(), ended.told
    stray = sorted(path.name for path in output.parent.rglob("*.tmp"))
    again = here(words(data, output))
    assert again.code == 0, again.told
    assert output.read_bytes() == (data.parent / "whole.h5").read_bytes()
    if ended.code:
        told_of_a_file(ended, output, trap.reason)
    assert not (stray and removes)
    assert leftovers(output) == []
    return ended


def told_of_a_file(ended: Ended, output: Path, reason: int) -> None:
    """Hold that the one line names what could not be written, or could not be read, and why."""
    one_line(ended, os.strerror(reason))
    assert any(name in ended.told for name in (output.name, "images.csv", "w.safetensors")), ended.told


@pytest.mark.parametrize("name", [*MAKING, *REMOVING])
def test_a_call_that_fails_is_told_in_one_line_and_loses_nothing(
    data: Path, calls: list[str], tmp_path: Path, name: str
) -> None:
    number = calls.count(name)
    assert number
    ended = []
    for at in range(1, number + 1):
        for reason in (REASONS[at % 4], REASONS[(at + 1) % 4]):
            output = tmp_path / f"{at}-{reason}" / "parts.h5"
            ended.append(run_with(data, output, Fail(at, name, reason=reason), removes=name != "unlink").code)
    assert name in REMOVING or 1 in ended


def test_a_disk_that_goes_away_is_told_in_one_line_and_loses_nothing(
    data: Path, calls: list[str], tmp_path: Path
) -> None:
    for at in range(1, len(calls) + 1):
        trap = FailFrom(at, reason=(errno.EIO, errno.EROFS)[at % 2])
        run_with(data, tmp_path / str(at) / "parts.h5", trap, removes=False)


def test_a_finished_cache_is_intact_when_its_mending_fails(data: Path, calls: list[str], tmp_path: Path) -> None:
    mended, output = data_set(tmp_path / "data", 9, damaged=None), tmp_path / "run" / "parts.h5"  # the damaged one, too
    assert here(words(mended, tmp_path / "whole.h5")).code == 0
    old, new = (data.parent / "whole.h5").read_bytes(), (tmp_path / "whole.h5").read_bytes()
    output.parent.mkdir()
    output.write_bytes(old)
    watch = Watch()
    assert here(words(mended, output), watch).code == 0 and output.read_bytes() == new
    for at in range(1, len(watch.seen) + 1):
        output.write_bytes(old)
        ended = here(words(mended, output), FailFrom(at, reason=REASONS[at % 4]))
        assert output.read_bytes() in (old, new)
        again = here(words(mended, output))
        assert again.code == 0 and output.read_bytes() == new, again.told
        if ended.code:
            told_of_a_file(ended, output, REASONS[at % 4])
        assert leftovers(output) == []


@pytest.mark.parametrize("name", ["mkstemp", "write_bytes", "fsync", "chmod", "replace", "open"])
def test_an_old_cache_is_intact_when_its_replacement_fails(tmp_path: Path, make_parts: MakeParts, name: str) -> None:
    old, new = encode_parts(make_parts()), encode_parts(make_parts(seed=1))
    path = tmp_path / "parts.h5"
    with trapped(watch := Watch(name=name)):
        write_parts(path, make_parts())
    for at in range(1, len(watch.seen) + 1):
        for reason in REASONS:
            path.write_bytes(old)
            told = rf"{path}: cannot be written \({os.strerror(reason)}\)"
            with trapped(Fail(at, name, reason=reason)), pytest.raises(UserError, match=told):
                write_parts(path, make_parts(seed=1))
            # the folder is synced when the new file has its name
            assert path.read_bytes() == (new if at == 2 and name in ("fsync", "open") else old)
            assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_ends_the_run_with_one_line_and_what_is_finished_is_kept(
    data: Path, calls: list[str], tmp_path: Path
) -> None:
    output = tmp_path / "parts.h5"
    assert here(words(data, output), Fail(calls.count("mkstemp"), "mkstemp")).code == 1
    sizes = [path.stat().st_size for path in shards_folder(output).glob("*.h5")]
    whole = (data.parent / "whole.h5").stat().st_size
    assert len(sizes) == 2 and max(sizes) < whole
    for largest, finished in ((min(sizes) // 2, 0), (whole - 1, 2)):
        output = tmp_path / str(largest) / "parts.h5"
        output.parent.mkdir()
        ended = start(words(data, output), tmp_path / "log", largest=largest).wait()
        one_line(ended, output.name, os.strerror(errno.EFBIG))
        kept = {path: path.read_bytes() for path in shards_folder(output).glob("*.h5")}
        assert len(kept) == finished and not list(output.parent.rglob("*.tmp"))
        again = here(words(data, output))
        assert again.code == 0 and output.read_bytes() == (data.parent / "whole.h5").read_bytes()
        assert leftovers(output) == []


@pytest.mark.parametrize("mode", [0o500, 0o000])
def test_a_folder_that_may_not_be_used_is_told_before_the_work(data: Path, tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    try:
        if os.access(tmp_path, os.W_OK):
            pytest.skip("this user may write everywhere")
        watch = Watch(name="detect")
        one_line(here(words(data, tmp_path / "parts.h5"), watch), "parts.h5", os.strerror(errno.EACCES))
        assert not watch.seen
    finally:
        tmp_path.chmod(0o700)


def test_an_output_that_is_a_folder_is_wrong_usage(data: Path, tmp_path: Path) -> None:
    (tmp_path / "parts.h5").mkdir()
    ended = here(words(data, tmp_path / "parts.h5"))
    assert ended.code == 2 and "parts.h5' is a directory" in ended.told


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("x" * 297 + ".h5", id="longer than a name may be"),
        pytest.param("x" * 250 + ".h5", id="whose folder of shards would be longer"),
        pytest.param("file/parts.h5", id="below a file"),
        pytest.param("busy.h5", id="whose shards are a file"),
        pytest.param("loop/parts.h5", id="below a loop of links"),
    ],
)
def test_a_place_where_nothing_can_be_written_is_told_before_the_work(data: Path, tmp_path: Path, name: str) -> None:
    for file in ("file", "busy.h5.shards"):
        (tmp_path / file).write_bytes(b"mine")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = leftovers(tmp_path / name if "/" not in name else tmp_path / "none")
    watch = Watch(name="detect")
    one_line(here(words(data, tmp_path / name), watch), name)
    assert not watch.seen
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "busy.h5.shards").read_bytes() == b"mine"
