"""Pascal VOC files for the tests, written as text, and images for them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

Entry = tuple[str, Sequence[object]]  # label; xmin, ymin, xmax, ymax


def voc_object(label: str, edges: Sequence[object], more: str = "") -> str:
    """Return one <object>."""
    box = "".join(
        f"<{edge}>{value}</{edge}>" for edge, value in zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True)
    )
    return f"<object><name>{label}</name>{more}<bndbox>{box}</bndbox></object>"


def voc_xml(filename: str, size: tuple[object, object] | None, objects: str) -> str:
    """Return the text of a VOC file, without XML declaration."""
    sides = "" if size is None else f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation><folder>x</folder><filename>{filename}</filename>{sides}{objects}</annotation>\n"


def write_voc(
    path: Path, filename: str, entries: Sequence[Entry], size: tuple[object, object] | None = (160, 120)
) -> None:
    """Write a VOC file with an object per entry."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = voc_xml(filename, size, "".join(voc_object(label, edges) for label, edges in entries))
    path.write_text(text, encoding="utf-8")


def write_picture(path: Path) -> None:
    """Write a grey image of 160 x 120."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((120, 160), 90, np.uint8)).save(path)
