"""Exported programs run by their own runtimes, and the programs of the guide to them."""

import ast
import importlib.util
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from data_cache.base.export import ONNX_PACKAGES
from helpers.paths import ROOT

missing = [package for package in ONNX_PACKAGES if importlib.util.find_spec(package) is None]
needs_onnx = pytest.mark.skipif(bool(missing), reason=f"the extra onnx is not installed ({', '.join(missing)})")


def opened(path: Path) -> Callable[[Mapping[str, Tensor]], list[Tensor]]:
    """Return a call of an exported file: inputs by name to outputs in order."""
    if path.suffix == ".pt2":
        module = torch.export.load(path).module()
        return lambda inputs: [tensor.detach() for tensor in module(*inputs.values())]
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda inputs: [
        torch.from_numpy(array) for array in session.run(None, {name: one.numpy() for name, one in inputs.items()})
    ]


def block_of(file: str) -> str:
    """Return the program of the guide that opens `file`."""
    text = (ROOT / "docs/export.md").read_text(encoding="utf-8")
    (found,) = (
        block for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE) if f'"{file}"' in block
    )
    return str(found)


def run_block(block: str, only: set[str]) -> dict[str, Any]:
    """Run a program where we stand and return its names; `only` are the packages that it imports."""
    tree = ast.parse(block)
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == only
    names: dict[str, Any] = {}
    exec(compile(tree, "guide", "exec"), names)
    return names
