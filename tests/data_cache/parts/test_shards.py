"""Shards: each name in exactly one, merged to the same bytes, and damaged or outdated ones made again."""

from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from data_cache.parts.cache import PartBoxes, encode_parts, write_parts
from data_cache.parts.shards import merge_shards, plan_shards, shard_is_finished, shard_path
from data_cache.parts.source_files import with_files_hash
from helpers.parts import MakeParts, sliced

ROOT = Path("no/images/here")  # so there are no file sizes to compare


def write_shards(parts: PartBoxes, output: Path, size: int) -> list[Path]:
    """Write `parts` as the shards of a plan and return their paths in order."""
    paths = []
    for index, names in enumerate(plan_shards(parts.names, size)):
        paths.append(shard_path(output, index))
        write_parts(paths[-1], sliced(parts, slice(index * size, index * size + len(names))))
    return paths


@pytest.mark.parametrize("count", [0, 1, 5, 6, 7, 100])
@pytest.mark.parametrize("size", [1, 3, 6, 1000])
def test_plan_has_every_name_once_and_in_order(count: int, size: int) -> None:
    names = [f"{number:04d}" for number in range(count)]
    plan = plan_shards(names, size)
    assert [name for shard in plan for name in shard] == names
    assert all(len(shard) == size for shard in plan[:-1])
    assert all(1 <= len(shard) <= size for shard in plan)


@pytest.mark.parametrize("size", [1, 4, 50])
def test_merged_cache_equals_the_whole_to_the_byte(tmp_path: Path, make_parts: MakeParts, size: int) -> None:
    whole, output = make_parts(11), tmp_path / "parts.h5"
    write_parts(output, make_parts(3, detector="older"))  # is replaced
    merged = merge_shards(write_shards(whole, output, size), output)
    assert output.read_bytes() == encode_parts(whole) == encode_parts(merged)
    assert list(tmp_path.iterdir()) == [output]  # the shards were removed


def test_shard_is_finished_only_with_exactly_its_names(tmp_path: Path, make_parts: MakeParts) -> None:
    parts = make_parts()
    path = tmp_path / "shards" / "000000.h5"
    assert not shard_is_finished(path, parts.names, parts.fingerprint, ROOT)
    write_parts(path, parts)
    assert shard_is_finished(path, list(parts.names), parts.fingerprint, ROOT)
    for names in (parts.names[:-1], (*parts.names, "more"), (*parts.names[:-1], "other")):
        assert not shard_is_finished(path, names, parts.fingerprint, ROOT)


@pytest.mark.parametrize("position", [0, 600, 3000, -1])
def test_damaged_shard_is_reported_and_not_merged(
    tmp_path: Path, make_parts: MakeParts, capsys: pytest.CaptureFixture[str], position: int
) -> None:
    whole, output = make_parts(11), tmp_path / "parts.h5"
    paths = write_shards(whole, output, 4)
    damaged = bytearray(paths[1].read_bytes())
    damaged[position] ^= 8
    paths[1].write_bytes(damaged)
    plan = plan_shards(whole.names, 4)
    finished = [
        shard_is_finished(path, names, whole.fingerprint, ROOT) for path, names in zip(paths, plan, strict=True)
    ]
    assert finished == [True, False, True]
    message = capsys.readouterr().err
    assert "000001.h5" in message and "made again" in message
    with pytest.raises(UserError, match=r"000001\.h5: damaged"):
        merge_shards(paths, output)
    paths[0].unlink()
    with pytest.raises(UserError, match=r"000000\.h5: no such part cache"):
        merge_shards(paths, output)
    assert not output.exists() and all(path.exists() for path in paths[1:])


def test_shard_with_replaced_images_is_reported(
    tmp_path: Path, make_parts: MakeParts, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = make_parts()
    path, root = tmp_path / "shards" / "000000.h5", tmp_path / "images"
    for name in parts.names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    write_parts(path, with_files_hash(parts, root))
    assert shard_is_finished(path, parts.names, parts.fingerprint, root)
    assert shard_is_finished(path, parts.names, parts.fingerprint, ROOT)  # nothing to compare
    read = next(name for name, reason in zip(parts.names, parts.failure, strict=True) if not reason)
    (root / read).write_bytes(b"another picture")
    assert not shard_is_finished(path, parts.names, parts.fingerprint, root)
    assert "some of its images were replaced; this shard is made again" in capsys.readouterr().err


def test_shards_of_another_detector_are_refused_and_kept(tmp_path: Path, make_parts: MakeParts) -> None:
    parts, output = make_parts(), tmp_path / "parts.h5"
    (path,) = write_shards(make_parts(detector="older"), output, 100)
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"parts\.h5\.shards: made with detector = older, this run needs toy"):
        shard_is_finished(path, parts.names, parts.fingerprint, ROOT)
    assert path.read_bytes() == before


def test_shards_of_different_detectors_and_unsorted_shards_are_not_merged(
    tmp_path: Path, make_parts: MakeParts
) -> None:
    output = tmp_path / "parts.h5"
    paths = write_shards(make_parts(10), output, 5)
    with pytest.raises(UserError, match="not sorted and unique"):
        merge_shards(paths[::-1], output)
    write_parts(paths[1], sliced(make_parts(10, detector="other"), slice(5, 10)))
    with pytest.raises(UserError, match=r"000001\.h5: made with detector = other, this run needs toy"):
        merge_shards(paths, output)
