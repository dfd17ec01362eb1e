"""Shards: every name in one of them, merged equal to never cut, and damage made again instead of merged."""

from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from data_cache.parts.cache import PartBoxes, encode_parts, read_parts, write_parts
from data_cache.parts.shards import merge_shards, plan_shards, shard_is_finished, shard_path, shards_folder
from data_cache.parts.source_files import with_files
from helpers.parts import MakeParts, sliced

ROOT = Path("no/images/lie/here")  # so there are no sizes of files to compare


def write_shards(parts: PartBoxes, output: Path, size: int) -> list[Path]:
    """Write `parts` as the shards of a plan; return their paths in order."""
    paths = []
    for index, names in enumerate(plan_shards(parts.names, size)):
        paths.append(shard_path(output, index))
        write_parts(paths[-1], sliced(parts, slice(index * size, index * size + len(names))))
    return paths


@pytest.mark.parametrize("count", [0, 1, 5, 6, 7, 100])
@pytest.mark.parametrize("size", [1, 3, 6, 1000])
def test_a_plan_holds_every_name_once_and_in_order(count: int, size: int) -> None:
    names = [f"{number:04d}" for number in range(count)]
    plan = plan_shards(names, size)
    assert [name for shard in plan for name in shard] == names
    assert all(len(shard) == size for shard in plan[:-1])
    assert all(1 <= len(shard) <= size for shard in plan)


def test_every_shard_has_its_own_file_and_files_sort_by_index() -> None:
    output = Path("runs/toy/parts.h5")
    paths = [shard_path(output, index) for index in range(1200)]
    assert len(set(paths)) == len(paths)
    assert paths == sorted(paths)
    assert {path.parent for path in paths} == {shards_folder(output)} == {Path("runs/toy/parts.h5.shards")}


@pytest.mark.parametrize("size", [1, 4, 50])
def test_merged_is_to_the_byte_what_never_was_cut(tmp_path: Path, make_parts: MakeParts, size: int) -> None:
    whole, output = make_parts(11), tmp_path / "parts.h5"
    merged = merge_shards(write_shards(whole, output, size), output)
    assert output.read_bytes() == encode_parts(whole) == encode_parts(merged)
    assert list(tmp_path.iterdir()) == [output]  # the shards are gone


def test_only_a_whole_shard_of_these_names_is_finished(tmp_path: Path, make_parts: MakeParts) -> None:
    parts = make_parts()
    path = tmp_path / "shards" / "000000.h5"
    assert not shard_is_finished(path, parts.names, parts.fingerprint, ROOT)
    write_parts(path, parts)
    assert shard_is_finished(path, parts.names, parts.fingerprint, ROOT)
    assert shard_is_finished(path, list(parts.names), parts.fingerprint, ROOT)
    for names in (parts.names[:-1], (*parts.names, "more"), (*parts.names[:-1], "other")):
        assert not shard_is_finished(path, names, parts.fingerprint, ROOT)


@pytest.mark.parametrize("place", [0, 600, 3000, -1])
def test_a_damaged_shard_is_named_and_made_again(
    tmp_path: Path, make_parts: MakeParts, capsys: pytest.CaptureFixture[str], place: int
) -> None:
    whole, output = make_parts(11), tmp_path / "parts.h5"
    paths = write_shards(whole, output, 4)
    damaged = bytearray(paths[1].read_bytes())
    damaged[place] ^= 8
    paths[1].write_bytes(damaged)
    plan = plan_shards(whole.names, 4)
    finished = [
        shard_is_finished(path, names, whole.fingerprint, ROOT) for path, names in zip(paths, plan, strict=True)
    ]
    assert finished == [True, False, True]
    assert "000001.h5" in (told := capsys.readouterr().err) and "made again" in told
    with pytest.raises(UserError, match=r"000001\.h5: damaged"):
        merge_shards(paths, output)
    assert not output.exists()
    write_parts(paths[1], sliced(whole, slice(4, 8)))
    merge_shards(paths, output)
    assert output.read_bytes() == encode_parts(whole)


def test_a_shard_whose_images_were_replaced_is_named_and_made_again(
    tmp_path: Path, make_parts: MakeParts, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = make_parts()
    path, root = tmp_path / "shards" / "000000.h5", tmp_path / "images"
    for name in parts.names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    write_parts(path, with_files(parts, root))
    assert shard_is_finished(path, parts.names, parts.fingerprint, root)
    assert shard_is_finished(path, parts.names, parts.fingerprint, ROOT)  # nothing there to compare
    good = next(name for name, reason in zip(parts.names, parts.failure, strict=True) if not reason)
    (root / good).write_bytes(b"another picture")
    assert not shard_is_finished(path, parts.names, parts.fingerprint, root)
    assert "have been replaced since; this shard is made again" in capsys.readouterr().err


def test_a_missing_shard_stops_the_merge_and_keeps_the_others(tmp_path: Path, make_parts: MakeParts) -> None:
    output = tmp_path / "parts.h5"
    paths = write_shards(make_parts(11), output, 4)
    paths[2].unlink()
    with pytest.raises(UserError, match="000002"):
        merge_shards(paths, output)
    assert not output.exists()
    assert all(path.exists() for path in paths[:2])


def test_shards_of_another_detector_are_refused_not_overwritten(tmp_path: Path, make_parts: MakeParts) -> None:
    parts, output = make_parts(), tmp_path / "parts.h5"
    (path,) = write_shards(make_parts(detector="older"), output, 100)
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"parts\.h5\.shards: made with detector = older, this run needs toy"):
        shard_is_finished(path, parts.names, parts.fingerprint, ROOT)
    assert path.read_bytes() == before


def test_shards_of_two_detectors_are_not_merged(tmp_path: Path, make_parts: MakeParts) -> None:
    output = tmp_path / "parts.h5"
    paths = write_shards(make_parts(8), output, 4)
    write_parts(paths[1], sliced(make_parts(8, detector="older"), slice(4, 8)))
    with pytest.raises(UserError, match="different detectors"):
        merge_shards(paths, output)
    assert not output.exists()


def test_a_merge_replaces_an_older_cache(tmp_path: Path, make_parts: MakeParts) -> None:
    output = tmp_path / "parts.h5"
    write_parts(output, make_parts(3, detector="older"))
    merge_shards(write_shards(make_parts(8), output, 4), output)
    assert read_parts(output).fingerprint["detector"] == "toy"
