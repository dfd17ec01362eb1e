"""Export of networks to torch.export (.pt2) and ONNX, traced once for any batch size, with metadata in the file."""

import importlib.util
import io
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from data_cache.base.errors import UserError
from data_cache.base.files import remove_temporary_files, replacing
from data_cache.base.locks import run_lock
from data_cache.base.progress import without_library_messages

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import ExportedProgram

log = logging.getLogger(__name__)

FOLDER = "export"  # beside the weights
METADATA = "metadata.json"  # the extra file inside a .pt2
BATCH = "batch"
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
Compared = TypeVar("Compared")
Run = Callable[["Mapping[str, Tensor]"], "list[Tensor]"]  # from inputs by name to outputs in order


@dataclass(frozen=True)
class Exported:
    """The files of an export, the SHA-256 of the weights, and how close a program's outputs are to PyTorch's."""

    files: tuple[Path, ...]
    weights_sha256: str
    beside_pytorch: Mapping[str, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return {**vars(self), "files": [str(path) for path in self.files]}

    def lines(self) -> str:
        """Return one line per file, then the comparison."""
        found = ", ".join(
            f"{name.replace('_', ' ')} {value:.7g}" for name, value in (self.beside_pytorch or {}).items()
        )
        return "\n".join(
            [*map(str, self.files), *([f"compared with PyTorch on random images: {found}"] if found else [])]
        )


def write_program(
    path: Path,
    module: "nn.Module",
    example: "Mapping[str, Tensor]",
    metadata: Mapping[str, Any],
    compare: Callable[[Run], Compared],
) -> Compared:
    """Write `module` as a program, .pt2 or .onnx by the suffix of `path`; return the result of `compare` on it.

    Inputs are named and ordered as in `example`, outputs as in metadata["outputs"]; the first dimension of all stays
    dynamic. If `compare` raises, `path` is not written. Raises UserError if the extra `onnx` is missing, if the file
    cannot be written, or if another run is writing to its folder.
    """
    encode, load = (_onnx, _run_onnx) if path.suffix == ".onnx" else (_pt2, _run_pt2)
    if encode is _onnx:
        _require_onnx()
    log.info(f"{path}: exporting, this can take minutes")
    with run_lock(path.parent):
        remove_temporary_files(path)
        with replacing(path) as temporary:
            with without_library_messages():
                temporary.write_bytes(encode(_trace(module, example), metadata))
            return compare(load(temporary.read_bytes()))


def _require_onnx() -> None:
    missing = [package for package in ONNX_PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(f"ONNX needs {', '.join(missing)}; run `pip install '.[onnx]'`")


def _trace(module: "nn.Module", example: "Mapping[str, Tensor]") -> "ExportedProgram":
    """Return the program of `module`; `example` needs two rows or more, as torch specialises on 1."""
    import torch

    shapes = {name: {0: torch.export.Dim(BATCH, min=1)} for name in example}
    with torch.no_grad():
        traced = torch.export.export(module.eval(), tuple(example.values()), dynamic_shapes=shapes, strict=False)
    for node in traced.graph.nodes:
        node.meta.pop("stack_trace", None)  # contains local paths
    return traced


def _pt2(traced: "ExportedProgram", metadata: Mapping[str, Any]) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.export.save(traced, buffer, extra_files={METADATA: json.dumps(metadata)})
    return buffer.getvalue()


def _run_pt2(data: bytes) -> Run:
    import torch

    module = torch.export.load(io.BytesIO(data)).module()

    def run(inputs: "Mapping[str, Tensor]") -> "list[Tensor]":
        with torch.no_grad():
            return list(module(*inputs.values()))

    return run


def _onnx(traced: "ExportedProgram", metadata: Mapping[str, Any]) -> bytes:
    import torch

    lacking = _lacking_in_onnx()
    if any(node.target in lacking for node in traced.graph.nodes):
        traced = traced.run_decompositions(lacking)
    names = tuple({0: BATCH} for _ in traced.graph_signature.user_inputs)  # dynamic dimensions
    exported: Any = torch.onnx.export(
        traced, output_names=list(metadata["outputs"]), dynamic_shapes=names, dynamo=True, verbose=False
    )
    model = exported.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]  # stack traces
    for name, value in metadata.items():
        model.metadata_props.add(key=name, value=value if isinstance(value, str) else json.dumps(value))
    return bytes(model.SerializeToString())


def _run_onnx(data: bytes) -> Run:
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])

    def run(inputs: "Mapping[str, Tensor]") -> "list[Tensor]":
        found = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
        return [torch.from_numpy(array) for array in found]

    return run


def _lacking_in_onnx() -> dict[Any, Callable[..., Any]]:
    """Return decompositions of the operators that torch's ONNX exporter lacks.

    ONNX's TopK and ArgMax return the first of equal values, so they serve as a stable sort and as "first True".
    """
    import torch

    def argsort(x: "Tensor", *, stable: bool, dim: int = -1, descending: bool = False) -> "Tensor":
        return torch.topk(x, x.shape[dim], dim, largest=descending).indices

    def maximum(x: "Tensor", dim: int, keepdim: bool = False) -> Any:
        if x.dtype != torch.bool:
            return NotImplemented
        return x.any(dim, keepdim), x.int().argmax(dim, keepdim)

    return {torch.ops.aten.argsort.stable: argsort, torch.ops.aten.max.dim: maximum}
