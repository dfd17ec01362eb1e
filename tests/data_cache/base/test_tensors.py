"""Tensor files: every type round-trips bit by bit, and no damaged byte goes unnoticed."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from data_cache.base.errors import UserError
from data_cache.base.tensors import load_tensors, read_metadata, save_tensors

METADATA = {"epoch": 3, "note": "ü", "recipe": {"parts": 8, "trunk": None}}


def some_tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "weight": torch.randn(3, 5, generator=generator),
        "half": torch.randn(4, generator=generator).to(torch.bfloat16),
        "count": torch.tensor(7),
        "flags": torch.tensor([True, False, True]),
        "empty": torch.zeros(0, 4),
        "turned": torch.arange(12.0).view(3, 4).t(),
        "not_a_number": torch.tensor([float("nan"), float("inf"), -0.0]),
    }


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    """Return whether both have the same names, types, shapes and bits."""
    return found.keys() == wanted.keys() and all(
        found[name].dtype == tensor.dtype
        and found[name].shape == tensor.shape
        and torch.equal(
            found[name].contiguous().flatten().view(torch.uint8), tensor.contiguous().flatten().view(torch.uint8)
        )
        for name, tensor in wanted.items()
    )


def test_tensors_and_metadata_round_trip(tmp_path: Path) -> None:
    digest = save_tensors(tmp_path / "t", some_tensors(), METADATA)
    tensors, metadata, found = load_tensors(tmp_path / "t", "remedy")
    assert same(tensors, some_tensors())
    assert metadata == METADATA
    assert found == digest
    assert list(tmp_path.iterdir()) == [tmp_path / "t"]


def test_the_hash_covers_all_content_but_not_its_order(tmp_path: Path) -> None:
    base = save_tensors(tmp_path / "t", some_tensors(), METADATA)
    backwards = dict(reversed(some_tensors().items()))
    assert save_tensors(tmp_path / "t", backwards, dict(reversed(METADATA.items()))) == base
    changed = [
        (some_tensors() | {"count": torch.tensor(8)}, METADATA),
        (some_tensors() | {"count": torch.tensor(7, dtype=torch.int32)}, METADATA),
        (some_tensors() | {"weight": some_tensors()["weight"].view(5, 3)}, METADATA),
        (some_tensors() | {"more": torch.zeros(1)}, METADATA),
        ({name + "_": tensor for name, tensor in some_tensors().items()}, METADATA),
        (some_tensors(), METADATA | {"epoch": 4}),
    ]
    digests = {save_tensors(tmp_path / "t", tensors, metadata) for tensors, metadata in changed}
    assert len(digests | {base}) == len(changed) + 1


def test_a_flipped_bit_never_gives_other_content(tmp_path: Path) -> None:
    path = tmp_path / "t"
    save_tensors(path, some_tensors(), METADATA)
    intact = path.read_bytes()
    refused = 0
    positions = range(0, len(intact), 3)
    for position in positions:
        damaged = bytearray(intact)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        try:
            tensors, metadata, _ = load_tensors(path, "train again")
        except UserError as error:
            assert str(error).startswith(f"{path}: ") and str(error).endswith("; train again")
            refused += 1
        else:  # such as an f that became an F in the escape of the ü
            assert same(tensors, some_tensors()) and metadata == METADATA
    assert refused > 0.99 * len(positions)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t"
    save_tensors(path, some_tensors(), METADATA)
    intact = path.read_bytes()
    for length in range(0, len(intact), 11):
        path.write_bytes(intact[:length])
        with pytest.raises(UserError, match="damaged, or not written by this program"):
            load_tensors(path, "remedy")


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "plain")
    save_file({"a": torch.ones(2)}, tmp_path / "unsigned", {"metadata": "{}"})
    torch.save({"a": torch.ones(2)}, tmp_path / "pickle")
    (tmp_path / "text").write_text("hello")
    for name in ("plain", "unsigned", "pickle", "text", "absent", "."):
        with pytest.raises(UserError, match=r"remedy$"):
            load_tensors(tmp_path / name, "remedy")


def test_a_foreign_file_is_named(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "new.pth")
    torch.save({"a": torch.ones(2)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file({"a": torch.ones(2)}, tmp_path / "plain.safetensors")
    words = {"new.pth": "it is a PyTorch file", "old.pth": "it is a PyTorch file", "plain.safetensors": "has no recipe"}
    for name, reason in words.items():
        for read in (load_tensors, read_metadata):
            with pytest.raises(UserError, match=rf"{name}: .*\(.*{reason}.*\); remedy$"):
                read(tmp_path / name, "remedy")
