"""Binary files that others wrote: features, part masks, images, weights."""

import io
import json
import pickle
import re
import struct
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from PIL import Image, PngImagePlugin
from safetensors.numpy import save

from data_cache.base.npy import mask_bytes, read_masks
from data_cache.base.weights.reading import read_state_dicts
from data_cache.images.loading import image_size, load_image
from helpers.toy.masks import npy, rectangles
from reid.features.external import read_external_features
from soak.inputs.mutation import Target, mutate_bytes, mutate_value

NAMES = ["a.jpg", "ü/b.jpg", "c.jpg"]
FEATURES = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
LENGTH = struct.Struct("<Q")


def archive(*, packed: bool) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(buffer, names=np.array(NAMES), features=FEATURES)
    return buffer.getvalue()


def mutate_header(data: bytes, random: Random) -> bytes:
    """Return a safetensors file with another header of the right length; one time in three, any bytes."""
    if random.random() < 0.34:
        return mutate_bytes(data, random)
    (length,) = LENGTH.unpack(data[: LENGTH.size])
    header = json.loads(data[LENGTH.size : LENGTH.size + length])
    text = json.dumps(mutate_value(header, random)).encode()
    return LENGTH.pack(len(text)) + text + data[LENGTH.size + length :]


def read_features(name: str, folder: Path) -> None:
    read_external_features(folder / name, NAMES[:2])


def read_mask_file(folder: Path) -> None:
    read_masks(folder / "m.npy", mask_bytes(folder / "m.npy"))


def image(kind: str, **options: Any) -> bytes:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, kind, exif=exif, icc_profile=b"z" * 60, dpi=(72, 72), **options)
    return buffer.getvalue()


def pictures() -> dict[str, bytes]:
    info = PngImagePlugin.PngInfo()
    info.add_text("a", "b", zip=True)
    return {
        "a.jpg": image("JPEG"),
        "b.jpg": image("JPEG", progressive=True),
        "c.png": image("PNG", pnginfo=info),
    }


def read_pictures(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        image_size(path)
        load_image(path)


def state() -> dict[str, Any]:
    return {"state_dict": {"a.weight": torch.ones(2, 3), "a.bias": torch.zeros(2, dtype=torch.bfloat16)}, "epoch": 3}


def weights(*, old: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(state(), buffer, _use_new_zipfile_serialization=not old)
    data = buffer.getvalue()
    # the older format names a tensor by its address, which differs from process to process
    addresses = sorted(set(re.findall(rb"[0-9]{9,}", data))) if old else []
    for number, address in enumerate(addresses, start=1):
        data = data.replace(address, str(number).encode().zfill(len(address)))
    return data


def read_weights(name: str, folder: Path) -> None:
    read_state_dicts(folder / name)


def pickled() -> bytes:
    return pickle.dumps({"a": np.ones(3), "b": torch.ones(2)}, protocol=2)


TARGETS = {
    ".npz of features": Target(lambda: {"f.npz": archive(packed=False)}, partial(read_features, "f.npz")),
    "packed .npz of features": Target(lambda: {"f.npz": archive(packed=True)}, partial(read_features, "f.npz")),
    "safetensors of features": Target(
        lambda: {"f.safetensors": save({"features": FEATURES}, {"names": json.dumps(NAMES)})},
        partial(read_features, "f.safetensors"),
        mutate_header,
    ),
    ".npy of masks": Target(lambda: {"m.npy": npy(rectangles(3))}, read_mask_file),
    "images": Target(pictures, read_pictures),
    "weights in a zip": Target(lambda: {"w.pth": weights(old=False)}, partial(read_weights, "w.pth")),
    "weights in a pickle": Target(lambda: {"w.pth": weights(old=True)}, partial(read_weights, "w.pth")),
    "a pickle": Target(lambda: {"w.pth": pickled()}, partial(read_weights, "w.pth")),
    "weights in safetensors": Target(
        lambda: {"w.safetensors": save({"a": FEATURES, "b": FEATURES[0]}, {"note": "x"})},
        partial(read_weights, "w.safetensors"),
        mutate_header,
    ),
}
