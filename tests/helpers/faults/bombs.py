"""Small files that claim to be large, and what reading them costs."""

import io
import json
import resource
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from data_cache.base.errors import UserError
from data_cache.base.weights.reading import read_state_dicts
from data_cache.images.loading import load_image
from data_cache.parts.cache import read_parts
from reid.features.external import read_external_features
from soak.fuzz import TARGETS
from soak.inputs import ours, texts

MIB = 1 << 20
LARGE = 160  # MB that a compressed bomb would take
Bomb = tuple[str, str, bytes, Callable[[Path], object]]  # description, file name, content, reader of its folder


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG of that size with these chunks and no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    rest = b"".join(chunk(*one) for one in (*chunks, (b"IDAT", zlib.compress(b"")), (b"IEND", b"")))
    return b"\x89PNG\r\n\x1a\n" + header + rest


def jpeg(side: int) -> bytes:
    """Return a JPEG of `side` squared pixels without any."""
    frame = struct.pack(">BHHB", 8, side, side, 3) + bytes((1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0))
    return b"\xff\xd8\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + b"\xff\xda" + bytes(60) + b"\xff\xd9"


def compressed_zeros(megabytes: int) -> bytes:
    """Return so many MB of zeros in zlib's format, without ever holding them."""
    packer = zlib.compressobj(1)
    return b"".join(packer.compress(bytes(MIB)) for _ in range(megabytes)) + packer.flush()


def weights() -> bytes:
    """Return a .pth whose one tensor is LARGE MB of compressed zeros."""
    plain, out = io.BytesIO(), io.BytesIO()
    torch.save({"w": torch.zeros(1)}, plain)
    with zipfile.ZipFile(plain) as archive, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
        for member in archive.infolist():
            with target.open(member.filename, "w") as file:
                for _ in range(LARGE if "/data/" in member.filename else 0):
                    file.write(bytes(MIB))
                file.write(archive.read(member))
    return out.getvalue()


def part_cache(**arrays: Any) -> bytes:
    """Return a part cache with the right seal and some arrays replaced."""
    with h5py.File(io.BytesIO(ours.cache_bytes()), "r") as file:
        return ours.sealed_parts(dict(file.attrs), {name: {"data": file[name][()]} for name in file} | arrays)


def checkpoint(**changes: Any) -> bytes:
    """Return a checkpoint with the right hash and other metadata."""
    recipe = ours.IDENTITY["recipe"] | changes.pop("recipe", {})
    metadata = ours.IDENTITY | {"recipe": recipe, "epoch": 1, "best": 0} | changes
    return ours.sealed_tensors({"model.a": torch.zeros(1)}, metadata)


def npz(rows: int) -> bytes:
    """Return an archive whose array of features has so many rows according to its header."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, 4)}}".encode().ljust(118) + b"\n"
    names, out = io.BytesIO(), io.BytesIO()
    np.save(names, np.array(["a"]))
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("names.npy", names.getvalue())
        archive.writestr("features.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    return out.getvalue()


def bombs() -> Iterator[Bomb]:
    """Yield every bomb."""

    def image(folder: Path) -> None:
        load_image(folder / "a")

    def cache(folder: Path) -> None:
        read_parts(folder / "p")

    def features(folder: Path) -> None:
        read_external_features(next(folder.glob("f.*")), ["a"])

    yield "PNG of 4 x 10^9 pixels", "a", png(65_000, 65_000), image
    yield "JPEG of 4 x 10^9 pixels", "a", jpeg(65_000), image
    for kind in (b"zTXt", b"iCCP"):
        chunk = kind, b"name\0\0" + compressed_zeros(LARGE)
        yield f"PNG with {LARGE} MB of {kind.decode()}", "a", png(4, 4, chunk), image
    yield "compressed weights", "w.pth", weights(), lambda folder: read_state_dicts(folder / "w.pth")
    yield "safetensors with a header of 2^40", "f.safetensors", struct.pack("<Q", 2**40) + b"{}", features
    yield "array of 10^12", "f.npz", npz(10**12), features

    rows = {"shape": (10**9, 3, 4), "dtype": "float32", "chunks": (1000, 3, 4), "fletcher32": True}
    yield "part cache of 10^9 rows", "p", part_cache(boxes=rows), cache
    text = {"shape": (10**6,), "dtype": h5py.string_dtype("utf-8", 400), "compression": "gzip", "chunks": (10_000,)}
    yield "part cache of compressed names", "p", part_cache(name=text, failure=text), cache
    best = "best.safetensors"
    yield "checkpoint of 10^9 vehicles", best, checkpoint(vehicles=10**9), ours.read_best_network
    yield "checkpoint of wide features", best, checkpoint(recipe={"features": 8 * 10**8}), ours.read_best_network

    label, veri = "VeRi/train_label.xml", TARGETS["lists of VeRi-776"].read
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    yield "billion laughs", label, f'<!DOCTYPE a [<!ENTITY a0 "a">{laughs}]><a>&a9;</a>'.encode(), veri
    yield "XML of 3 million elements", label, b"<a>" + b"<a/>" * (3 << 20) + b"</a>", veri
    yield "XML in punycode", label, b"<?xml version='1.0' encoding='punycode'?><a/>-" + b"a" * MIB, veri
    yield "JSON of 10^6 nested lists", "coco.json", b"[" * 10**6, texts.imported
    yield "YAML of aliases of aliases", "pgan.yaml", b"a: &a [x]\n" + b"b: [*a, *a]\n" * 9, texts.read_recipe
    yield "YAML of nested lists", "pgan.yaml", b"[" * 60_000, texts.read_recipe
    yield "YAML of 20 MB", "pgan.yaml", b"#" * (20 * MIB), texts.read_recipe
    yield "number of 60,000 digits", "pgan.yaml", b"epochs: 0x" + b"f" * 60_000, texts.read_recipe


def read_bombs(root: Path, report: Path) -> None:
    """Read every bomb; write its description, its error and by how many KiB the peak memory grew to `report`.

    To be run in a process of its own, because the peak never falls.
    """
    found = []
    for number, (name, file, data, read) in enumerate(bombs()):
        folder = root / str(number)
        for target in ("lists of VeRi-776", "recipe", "COCO to import"):  # what the readers expect beside the bomb
            if file in TARGETS[target].make():
                TARGETS[target].write(folder)
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(data)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            read(folder)
            line = ""
        except UserError as error:
            line = str(error)
        found.append([name, line, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before])
    report.write_text(json.dumps(found))
