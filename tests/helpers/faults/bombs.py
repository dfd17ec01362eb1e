"""Small files that claim to be large, and what it costs to read each."""

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
from data_cache.base.tensors import read_state_dict
from data_cache.images.loading import load_image
from data_cache.parts import cache as parts
from reid.features.external import read_external_features
from soak.inputs import ours, texts

MIB = 1 << 20
LARGE = 160  # MB that a packed one would take
TEXTS = (".xml", ".json", ".yaml")  # beside them their readers need others
Bomb = tuple[str, bytes, Callable[[Path], object]]  # name of the file, its content, how its folder is read


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    rest = b"".join(chunk(*one) for one in (*chunks, (b"IDAT", zlib.compress(b"")), (b"IEND", b"")))
    return b"\x89PNG\r\n\x1a\n" + header + rest


def jpeg(side: int) -> bytes:
    frame = struct.pack(">BHHB", 8, side, side, 3) + bytes((1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0))
    return b"\xff\xd8\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + b"\xff\xda" + bytes(60) + b"\xff\xd9"


def zeros(megabytes: int) -> bytes:
    """Return so many MB of zeros as zlib packs them; they are never there as a whole."""
    packer = zlib.compressobj(1)
    return b"".join(packer.compress(bytes(MIB)) for _ in range(megabytes)) + packer.flush()


def weights() -> bytes:
    """Return a .pth whose one tensor is LARGE MB of zeros, packed."""
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
    """Return a sealed file with these arrays in the place of those that are there."""
    buffer = io.BytesIO(ours.cache_bytes())
    with h5py.File(buffer, "r") as file:
        held = {name: {"data": file[name][()]} for name in file} | arrays
        told = dict(file.attrs)
    out = io.BytesIO()
    with h5py.File(out, "w", userblock_size=parts.SEAL_SIZE) as file:
        file.attrs.update(told)
        for name, options in held.items():
            file.create_dataset(name, **options)
    content = out.getvalue()[parts.SEAL_SIZE :]
    return parts._seal(content) + content


def checkpoint(**changes: Any) -> bytes:
    recipe = ours.IDENTITY["recipe"] | changes.pop("recipe", {})
    told = ours.IDENTITY | {"recipe": recipe, "epoch": 1, "best": 0} | changes
    return ours.resealed({"model.a": torch.zeros(1)}, told)


def bombs() -> Iterator[tuple[str, Bomb]]:
    """Yield the name of each bomb and the bomb."""
    label = "VeRi/train_label.xml"
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    wide = {"shape": (10**9, 3, 4), "dtype": "float32", "chunks": (1000, 3, 4), "fletcher32": True}
    long = {"shape": (10**6,), "dtype": h5py.string_dtype("utf-8", 400), "compression": "gzip", "chunks": (10_000,)}
    xml = texts.TARGETS["lists of VeRi-776"].read
    images: Callable[[Path], object] = lambda folder: load_image(folder / "a")  # noqa: E731
    state: Callable[[Path], object] = lambda folder: read_state_dict(folder / "w.pth")  # noqa: E731
    cache: Callable[[Path], object] = lambda folder: parts.read_parts(folder / "p")  # noqa: E731
    given: Callable[[Path], object] = lambda folder: read_external_features(next(folder.glob("f.*")), ["a"])  # noqa: E731
    yield "PNG of 4 x 10^9 pixels", ("a", png(65_000, 65_000), images)
    yield "JPEG of 4 x 10^9 pixels", ("a", jpeg(65_000), images)
    for kind in (b"zTXt", b"iCCP"):
        packed = b"name\0\0" + zeros(LARGE)
        yield f"PNG with {LARGE} MB of {kind.decode()}", ("a", png(4, 4, (kind, packed)), images)
    yield "packed weights", ("w.pth", weights(), state)
    yield "safetensors with a header of 2^40", ("f.safetensors", struct.pack("<Q", 2**40) + b"{}", given)
    yield "array of 10^12", ("f.npz", npz(10**12), given)
    yield "part cache of 10^9 rows", ("p", part_cache(boxes=wide), cache)
    yield "part cache of packed names", ("p", part_cache(name=long, failure=long), cache)
    yield "checkpoint of 10^9 vehicles", ("best.safetensors", checkpoint(vehicles=10**9), ours.network_of_best)
    huge = checkpoint(recipe={"features": 8 * 10**8})
    yield "checkpoint of wide features", ("best.safetensors", huge, ours.network_of_best)
    yield "billion laughs", (label, f'<!DOCTYPE a [<!ENTITY a0 "a">{laughs}]><a>&a9;</a>'.encode(), xml)
    yield "XML of 3 million elements", (label, b"<a>" + b"<a/>" * (3 << 20) + b"</a>", xml)
    yield "XML in punycode", (label, b"<?xml version='1.0' encoding='punycode'?><a/>-" + b"a" * MIB, xml)
    yield "JSON of 10^6 lists in lists", ("coco.json", b"[" * 10**6, texts.imported)
    yield "aliases of aliases", ("pgan.yaml", b"a: &a [x]\n" + b"b: [*a, *a]\n" * 9, texts.recipe_read)
    yield "YAML of lists in lists", ("pgan.yaml", b"[" * 60_000, texts.recipe_read)
    yield "YAML of 20 MB", ("pgan.yaml", b"#" * (20 * MIB), texts.recipe_read)
    yield "a number of 60,000 digits", ("pgan.yaml", b"epochs: 0x" + b"f" * 60_000, texts.recipe_read)


def npz(rows: int) -> bytes:
    """Return an archive whose array of features has, by its own header, so many rows."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, 4)}}".encode().ljust(118) + b"\n"
    names, out = io.BytesIO(), io.BytesIO()
    np.save(names, np.array(["a"]))
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("names.npy", names.getvalue())
        archive.writestr("features.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    return out.getvalue()


def read_bombs(root: Path, told: Path) -> None:
    """Read every bomb in a folder of its own; write to `told` its name, what became of it, KiB that the peak grew.

    To be run in a process of its own: the peak of memory never falls.
    """
    found = []
    for number, (name, (file, data, read)) in enumerate(bombs()):
        folder = root / str(number)
        beside = {**texts.veri(), **texts.recipe_files(), **texts.coco_files_()} if file.endswith(TEXTS) else {}
        for other, content in {**beside, file: data}.items():
            (folder / other).parent.mkdir(parents=True, exist_ok=True)
            (folder / other).write_bytes(content)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            read(folder)
            line = "read"
        except UserError as error:
            line = str(error)
        found.append([name, line, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before])
    told.write_text(json.dumps(found))
