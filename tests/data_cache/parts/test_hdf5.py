"""Untrusted HDF5: arrays stored in another file, or larger than their own, are refused unread."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from data_cache.parts.cache import HDF5_ERRORS, read_array, read_strings

SECRET = np.arange(6, dtype=np.int32)
SIZE = 4096


def link(file: h5py.File, elsewhere: Path) -> None:
    file["a"] = h5py.ExternalLink(str(elsewhere), "/a")


def soft_link(file: h5py.File, elsewhere: Path) -> None:
    file["b"] = SECRET
    file["a"] = h5py.SoftLink("/b")


def raw_data(file: h5py.File, elsewhere: Path) -> None:
    external = [(str(elsewhere.with_name("raw")), 0, h5py.h5f.UNLIMITED)]
    file.create_dataset("a", (6,), "int32", external=external)


def virtual(file: h5py.File, elsewhere: Path) -> None:
    layout = h5py.VirtualLayout((6,), "int32")
    layout[:] = h5py.VirtualSource(str(elsewhere), "a", (6,))
    file.create_virtual_dataset("a", layout)


def group(file: h5py.File, elsewhere: Path) -> None:
    file.create_group("a")


def nothing(file: h5py.File, elsewhere: Path) -> None:
    """The array is missing."""


@pytest.mark.parametrize("make", [link, soft_link, raw_data, virtual, group, nothing])
def test_array_outside_the_file_is_refused(tmp_path: Path, make: Callable[[h5py.File, Path], None]) -> None:
    elsewhere = tmp_path / "elsewhere.h5"  # its content must not be readable through ours
    with h5py.File(elsewhere, "w") as file:
        file["a"] = SECRET
    elsewhere.with_name("raw").write_bytes(SECRET.tobytes())
    with h5py.File(tmp_path / "f.h5", "w") as file:
        make(file, elsewhere)
    with h5py.File(tmp_path / "f.h5") as file:
        if make not in (group, nothing):
            assert file["a"][:].tolist() == SECRET.tolist()  # HDF5 itself would follow it
        for read in (lambda: read_array(file, "a", "int32", SIZE), lambda: read_strings(file, "a", SIZE)):
            with pytest.raises(ValueError, match="a is not an array in the file itself"):
                read()


@pytest.mark.parametrize(
    ("shape", "kind"), [((6,), "int64"), ((6,), ">i4"), ((6,), "S4"), ((SIZE,), "int32"), ((10**12,), "int32")]
)
def test_array_of_another_type_or_larger_than_the_file_is_refused(
    tmp_path: Path, shape: tuple[int, ...], kind: str
) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("a", shape, kind, chunks=(6,))
    with h5py.File(tmp_path / "f.h5") as file, pytest.raises(ValueError, match=f"in a file of {SIZE} bytes"):
        read_array(file, "a", "int32", SIZE)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((6,), h5py.string_dtype()),  # of any length
        ((6, 1), h5py.string_dtype("utf-8", 4)),
        ((6,), "int32"),
        ((10**6,), h5py.string_dtype("utf-8", 100)),
    ],
)
def test_strings_of_variable_length_or_much_larger_than_the_file_are_refused(
    tmp_path: Path, shape: tuple[int, ...], kind: object
) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("a", shape, kind, chunks=True)
    with h5py.File(tmp_path / "f.h5") as file, pytest.raises(ValueError, match=f"in a file of {SIZE} bytes"):
        read_strings(file, "a", SIZE)


def test_valid_arrays_and_strings_are_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["a"] = SECRET
        file["b"] = np.array(["ü".encode(), b""]).astype(h5py.string_dtype("utf-8", 3))
    with h5py.File(tmp_path / "f.h5") as file:
        assert read_array(file, "a", "int32", SIZE).tolist() == SECRET.tolist()
        assert read_strings(file, "b", SIZE) == ("ü", "")


def test_invalid_utf8_raises_an_hdf5_error(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["a"] = np.array([b"\xff\xfe"]).astype(h5py.string_dtype("utf-8", 2))
    with h5py.File(tmp_path / "f.h5") as file, pytest.raises(HDF5_ERRORS):
        read_strings(file, "a", SIZE)
