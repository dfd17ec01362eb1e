"""A folder that is whole or absent, and what lies in its place untouched."""

from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from data_cache.base.locks import run_lock
from data_cache.synthetic.dataset.atomic_folder import atomic_folder, remove_leftovers


def _tree(root: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(root)): p.read_bytes() if p.is_file() else None for p in root.rglob("*")}


@pytest.mark.parametrize("there", [False, True], ids=["absent", "empty"])
def test_the_folder_appears_as_a_whole(tmp_path: Path, there: bool) -> None:
    place = tmp_path / "data" / "VeRi"
    if there:
        place.mkdir(parents=True)
    with atomic_folder(place) as folder:
        (folder / "images").mkdir()
        (folder / "images" / "1.jpg").write_bytes(b"one")
        assert not place.exists()
    assert _tree(tmp_path) == {
        "data": None,
        "data/VeRi": None,
        "data/VeRi/images": None,
        "data/VeRi/images/1.jpg": b"one",
    }


@pytest.mark.parametrize("name", ["name_train.txt", "image_train/0001_c001_00016450_0.jpg", ".hidden"])
def test_what_lies_there_is_not_touched(tmp_path: Path, name: str) -> None:
    place = tmp_path / "VeRi"
    (place / name).parent.mkdir(parents=True)
    (place / name).write_bytes(b"real")
    before = _tree(tmp_path)
    with pytest.raises(UserError, match=r"neither empty nor .* nothing there was touched"), atomic_folder(place):
        pytest.fail("refused before anything is made")
    assert _tree(tmp_path) == before


def test_a_file_in_its_place_is_not_touched(tmp_path: Path) -> None:
    place = tmp_path / "VeRi"
    place.write_bytes(b"a file")
    with pytest.raises(UserError, match="nothing there was touched"), atomic_folder(place):
        pytest.fail("refused before anything is made")
    assert _tree(tmp_path) == {"VeRi": b"a file"}


def test_what_came_to_lie_there_meanwhile_is_not_touched(tmp_path: Path) -> None:
    place = tmp_path / "VeRi"
    with pytest.raises(UserError, match="cannot be put in place"), atomic_folder(place) as folder:
        (folder / "ours.txt").touch()
        place.mkdir()
        (place / "theirs.txt").write_bytes(b"real")
    assert _tree(tmp_path) == {"VeRi": None, "VeRi/theirs.txt": b"real"}


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), atomic_folder(tmp_path / "VeRi") as folder:
        (folder / "half.txt").touch()
        raise error
    assert _tree(tmp_path) == {}


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".VeRi.unfinished" / "tree-1"
    left.mkdir(parents=True)
    (left / "half.txt").touch()
    with atomic_folder(tmp_path / "VeRi") as folder:
        assert _tree(folder) == {}
    assert _tree(tmp_path) == {"VeRi": None}


def test_a_second_run_is_refused(tmp_path: Path) -> None:
    with run_lock(tmp_path / ".VeRi.unfinished"):
        with pytest.raises(UserError, match="another run"), atomic_folder(tmp_path / "VeRi"):
            pytest.fail("refused before anything is made")
        assert (tmp_path / ".VeRi.unfinished").is_dir()
    with atomic_folder(tmp_path / "VeRi"):
        pass


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "VeRi").symlink_to(tmp_path / "disk")
    with atomic_folder(tmp_path / "VeRi") as folder:
        (folder / "name_train.txt").touch()
    assert (tmp_path / "VeRi").is_symlink() and (tmp_path / "disk" / "name_train.txt").exists()


def test_what_a_run_left_that_was_killed_when_the_folder_was_whole_is_removed(tmp_path: Path) -> None:
    place = tmp_path / "VeRi"
    place.mkdir()
    (place / "name_train.txt").touch()
    left = tmp_path / ".VeRi.unfinished"
    (left / "tree-1" / "images").mkdir(parents=True)
    (left / ".lock").touch()
    remove_leftovers(place)
    remove_leftovers(place)
    assert _tree(tmp_path) == {"VeRi": None, "VeRi/name_train.txt": b""}


def test_what_a_run_at_work_has_made_stays(tmp_path: Path) -> None:
    left = tmp_path / ".VeRi.unfinished"
    with run_lock(left):
        (left / "tree-1").mkdir()
        remove_leftovers(tmp_path / "VeRi")
        assert (left / "tree-1").is_dir()
