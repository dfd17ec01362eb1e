"""Exported programs run by their own runtimes, and the example programs of docs/export.md."""

import ast
import importlib.util
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from data_cache.base.export import METADATA, ONNX_PACKAGES
from helpers.paths import ROOT

missing = [package for package in ONNX_PACKAGES if importlib.util.find_spec(package) is None]
needs_onnx = pytest.mark.skipif(bool(missing), reason=f"the extra onnx is not installed ({', '.join(missing)})")


def load_program(path: Path) -> Callable[[Mapping[str, Tensor]], list[Tensor]]:
    """Return a call of an exported file, from inputs by name to outputs in order."""
    if path.suffix == ".pt2":
        module = torch.export.load(path).module()
        return lambda inputs: [tensor.detach() for tensor in module(*inputs.values())]
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda inputs: [
        torch.from_numpy(array) for array in session.run(None, {name: one.numpy() for name, one in inputs.items()})
    ]


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the metadata of an exported file; ONNX holds text, and other values as JSON."""
    if path.suffix == ".pt2":
        extra = {METADATA: ""}
        torch.export.load(path, extra_files=extra)
        return dict(json.loads(extra[METADATA]))
    import onnxruntime

    found = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    return {name: json.loads(value) if value[0] in "{[" else value for name, value in found.items()}


def example_program(file: str) -> str:
    """Return the Python example in docs/export.md that opens `file`."""
    text = (ROOT / "docs/export.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (block,) = (block for block in blocks if f'"{file}"' in block)
    return str(block)


def run_example(program: str, imports: set[str]) -> dict[str, Any]:
    """Run an example program and return its variables; it must import exactly `imports`."""
    tree = ast.parse(program)
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == imports
    variables: dict[str, Any] = {}
    exec(compile(tree, "example", "exec"), variables)
    return variables
