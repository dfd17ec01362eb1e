"""A folder that appears complete or not at all, and never replaces anything."""

from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from data_cache.base.locks import run_lock
from data_cache.synthetic.dataset.atomic_folder import atomic_folder, remove_leftovers


def _tree(root: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else None for path in root.rglob("*")
    }


@pytest.mark.parametrize("existing", [False, True], ids=["absent", "empty"])
def test_the_folder_appears_complete(tmp_path: Path, existing: bool) -> None:
    path = tmp_path / "data" / "VeRi"
    if existing:
        path.mkdir(parents=True)
    with atomic_folder(path) as folder:
        (folder / "1.jpg").write_bytes(b"one")
        assert not path.exists()
    assert _tree(tmp_path) == {"data": None, "data/VeRi": None, "data/VeRi/1.jpg": b"one"}


@pytest.mark.parametrize("name", ["VeRi", "VeRi/name_train.txt", "VeRi/image_train/0001.jpg", "VeRi/.hidden"])
def test_an_existing_file_is_not_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"real")
    before = _tree(tmp_path)
    with (
        pytest.raises(UserError, match=r"neither empty nor .* nothing there was changed"),
        atomic_folder(tmp_path / "VeRi"),
    ):
        pytest.fail("must be refused before the body runs")
    assert _tree(tmp_path) == before


def test_a_folder_filled_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "VeRi"
    with pytest.raises(UserError, match="cannot be created"), atomic_folder(path) as folder:
        (folder / "ours.txt").touch()
        path.mkdir()
        (path / "theirs.txt").write_bytes(b"real")
    assert _tree(tmp_path) == {"VeRi": None, "VeRi/theirs.txt": b"real"}


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), atomic_folder(tmp_path / "VeRi") as folder:
        (folder / "half.txt").touch()
        raise error
    assert _tree(tmp_path) == {}


@pytest.mark.parametrize("complete", [False, True], ids=["killed before the move", "killed after the move"])
def test_leftovers_of_a_killed_run_are_removed(tmp_path: Path, complete: bool) -> None:
    path, unfinished = tmp_path / "VeRi", tmp_path / ".VeRi.unfinished"
    (unfinished / "tree-1" / "images").mkdir(parents=True)
    (unfinished / ".lock").touch()
    if complete:
        path.mkdir()
        remove_leftovers(path)
    else:
        with atomic_folder(path) as folder:
            assert _tree(folder) == {}
    assert _tree(tmp_path) == {"VeRi": None}
    remove_leftovers(path)
    assert _tree(tmp_path) == {"VeRi": None}


def test_a_second_run_is_refused_and_keeps_the_first_one(tmp_path: Path) -> None:
    unfinished = tmp_path / ".VeRi.unfinished"
    with run_lock(unfinished):
        (unfinished / "tree-1").mkdir()
        with pytest.raises(UserError, match="another run"), atomic_folder(tmp_path / "VeRi"):
            pytest.fail("must be refused before the body runs")
        remove_leftovers(tmp_path / "VeRi")
        assert (unfinished / "tree-1").is_dir()


def test_a_symbolic_link_is_kept(tmp_path: Path) -> None:
    (tmp_path / "disk" / "VeRi").mkdir(parents=True)
    (tmp_path / "VeRi").symlink_to(tmp_path / "disk" / "VeRi")
    with atomic_folder(tmp_path / "VeRi") as folder:
        (folder / "1.txt").touch()
    assert (tmp_path / "VeRi").is_symlink() and (tmp_path / "disk" / "VeRi" / "1.txt").exists()
