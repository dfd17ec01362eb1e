"""HDF5 read without trust: an array that lies elsewhere, or claims what the file does not hold, is refused unread."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from data_cache.parts.hdf5 import FAULTS, read_numbers, read_texts

SECRET = np.arange(6, dtype=np.int32)
SIZE = 4096


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Another file, whose content is not to be had by way of ours."""
    path = tmp_path / "elsewhere.h5"
    with h5py.File(path, "w") as file:
        file["a"] = SECRET
    (tmp_path / "raw").write_bytes(SECRET.tobytes())
    return path


def link(file: h5py.File, elsewhere: Path) -> None:
    file["a"] = h5py.ExternalLink(str(elsewhere), "/a")


def soft_link(file: h5py.File, elsewhere: Path) -> None:
    file["b"] = SECRET
    file["a"] = h5py.SoftLink("/b")


def raw_data(file: h5py.File, elsewhere: Path) -> None:
    place = [(str(elsewhere.with_name("raw")), 0, h5py.h5f.UNLIMITED)]
    file.create_dataset("a", (6,), "int32", external=place)


def virtual(file: h5py.File, elsewhere: Path) -> None:
    layout = h5py.VirtualLayout((6,), "int32")
    layout[:] = h5py.VirtualSource(str(elsewhere), "a", (6,))
    file.create_virtual_dataset("a", layout)


def group(file: h5py.File, elsewhere: Path) -> None:
    file.create_group("a")


def nothing(file: h5py.File, elsewhere: Path) -> None:
    """The array is missing."""


@pytest.mark.parametrize("make", [link, soft_link, raw_data, virtual, group, nothing])
def test_an_array_that_lies_elsewhere_is_refused(
    tmp_path: Path, elsewhere: Path, make: Callable[[h5py.File, Path], None]
) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        make(file, elsewhere)
    with h5py.File(tmp_path / "f.h5") as file:
        if make not in (group, nothing):
            assert file["a"][:].tolist() == SECRET.tolist()  # what HDF5 itself would do
        for read in (lambda: read_numbers(file, "a", "int32", SIZE), lambda: read_texts(file, "a", SIZE)):
            with pytest.raises(ValueError, match="a is no array in the file itself"):
                read()


@pytest.mark.parametrize(
    ("shape", "kind"), [((6,), "int64"), ((6,), ">i4"), ((6,), "S4"), ((SIZE,), "int32"), ((10**12,), "int32")]
)
def test_numbers_of_another_type_or_beyond_the_file_are_refused(
    tmp_path: Path, shape: tuple[int, ...], kind: str
) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("a", shape, kind, chunks=(6,))
    with h5py.File(tmp_path / "f.h5") as file, pytest.raises(ValueError, match=f"in a file of {SIZE} bytes"):
        read_numbers(file, "a", "int32", SIZE)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((6,), h5py.string_dtype()),  # of any length
        ((6, 1), h5py.string_dtype("utf-8", 4)),
        ((6,), "int32"),
        ((10**6,), h5py.string_dtype("utf-8", 100)),
    ],
)
def test_texts_of_no_fixed_length_or_far_beyond_the_file_are_refused(
    tmp_path: Path, shape: tuple[int, ...], kind: object
) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("a", shape, kind, chunks=True)
    with h5py.File(tmp_path / "f.h5") as file, pytest.raises(ValueError, match=f"in a file of {SIZE} bytes"):
        read_texts(file, "a", SIZE)


def test_what_is_sound_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["a"] = SECRET
        file["b"] = np.array(["ü".encode(), b""]).astype(h5py.string_dtype("utf-8", 3))
    with h5py.File(tmp_path / "f.h5") as file:
        assert read_numbers(file, "a", "int32", SIZE).tolist() == SECRET.tolist()
        assert read_texts(file, "b", SIZE) == ("ü", "")


def test_bytes_that_are_no_text_are_one_of_the_faults(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["a"] = np.array([b"\xff\xfe"]).astype(h5py.string_dtype("utf-8", 2))
    with h5py.File(tmp_path / "f.h5") as file, pytest.raises(FAULTS):
        read_texts(file, "a", SIZE)
