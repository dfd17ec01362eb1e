"""Exported programs: any batch size, metadata in the file, written whole or not at all."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from data_cache.base import export
from data_cache.base.errors import UserError
from data_cache.base.export import Exported, Run, write_program
from data_cache.base.locks import run_lock
from helpers.places.exported import needs_onnx, read_metadata

EXAMPLE = {"left": torch.rand(2, 5), "right": torch.rand(2, 5)}
EXPECTED_METADATA = {
    "kind": "toy",
    "recipe": {"parts": 3},
    "outputs": dict.fromkeys(("ordered", "any_large", "first_large"), "text"),
}


class Toy(nn.Module):
    """Sorts `left` by `right` in a stable way, and finds the first value above a half."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        any_large, first_large = (right > 0.5).max(dim=1)
        return self.scale * left.gather(1, right.argsort(dim=1, stable=True)), any_large, first_large


@pytest.fixture(params=["pt2", pytest.param("onnx", marks=needs_onnx)])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"toy.{request.param}"


def written(path: Path, compare: Callable[[Run], Run] = lambda run: run) -> Run:
    return write_program(path, Toy(), EXAMPLE, EXPECTED_METADATA, compare)


def inputs(rows: int) -> Mapping[str, Tensor]:
    """Return inputs with many ties; the last row has no value above a half."""
    random = torch.Generator().manual_seed(rows)
    right = torch.randint(0, 3, (rows, 5), generator=random) / 2
    right[-1] = 0.5
    return {"left": torch.rand(rows, 5, generator=random), "right": right}


def test_a_program_runs_with_any_batch_size(path: Path) -> None:
    run = written(path)
    for rows in (1, 2, 7):
        left, right = inputs(rows).values()
        ordered, any_large, first_large = run(inputs(rows))
        for row in range(rows):
            order = sorted(range(5), key=lambda place, row=row: (float(right[row, place]), place))
            assert ordered[row].tolist() == [float(2 * left[row, place]) for place in order]
            large = [place for place in range(5) if right[row, place] > 0.5]
            assert bool(any_large[row]) == bool(large)
            assert int(first_large[row]) == (large[0] if large else 0)


def test_the_file_holds_metadata_and_no_local_path(path: Path) -> None:
    written(path)
    assert read_metadata(path) == EXPECTED_METADATA
    assert str(Path(__file__).parent).encode() not in path.read_bytes()
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path)
        assert session.get_modelmeta().custom_metadata_map["kind"] == "toy"  # text is not quoted
        assert [(one.name, one.shape) for one in session.get_inputs()] == [(name, ["batch", 5]) for name in EXAMPLE]
        assert [value.name for value in session.get_outputs()] == ["ordered", "any_large", "first_large"]


def test_a_failed_comparison_keeps_the_old_file(path: Path) -> None:
    def refuse(run: Run) -> Run:
        raise UserError("not equal")

    path.write_bytes(b"the old one")
    with pytest.raises(UserError, match="not equal"):
        written(path, refuse)
    assert list(path.parent.iterdir()) == [path] and path.read_bytes() == b"the old one"


def test_a_second_writer_is_refused_and_leftovers_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "toy.pt2"
    with run_lock(tmp_path), pytest.raises(UserError, match="another run"):
        written(path)
    (tmp_path / ".toy.pt2.abcd1234.tmp").write_bytes(b"half")
    written(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_extra_is_refused_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "ONNX_PACKAGES", ("json", "absent_one", "absent_two"))
    with pytest.raises(UserError, match=r"ONNX needs absent_one, absent_two; run `pip install '\.\[onnx\]'`"):
        written(tmp_path / "toy.onnx")


def test_an_export_as_lines_and_as_json() -> None:
    alone = Exported((Path("a/b"), Path("c")), "12")
    assert alone.lines() == "a/b\nc"
    assert alone.to_dict() == {"files": ["a/b", "c"], "weights_sha256": "12", "beside_pytorch": None}
    compared = Exported((Path("a"),), "12", {"lowest_cosine": 0.9999999, "largest_difference": 3e-8})
    assert (
        compared.lines()
        == "a\ncompared with PyTorch on random images: lowest cosine 0.9999999, largest difference 3e-08"
    )
    assert compared.to_dict()["beside_pytorch"] == {"lowest_cosine": 0.9999999, "largest_difference": 3e-8}
