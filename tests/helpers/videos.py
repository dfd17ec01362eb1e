"""Small videos whose frames tell their numbers."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

WIDTH, HEIGHT, FRAMES = 64, 48, 30
STEP, TOLERANCE = 8, 3  # of red, from frame to frame and by compression


def write_video(path: Path, *, turned: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT), first: int = 0) -> Path:
    """Write FRAMES frames: red is STEP times the number, counted from `first`, blue is 255 in the left half."""
    av = pytest.importorskip("av", reason="needs the extra video")
    path.parent.mkdir(parents=True, exist_ok=True)
    # the index first, so that a file that is cut off still has it
    options = {"movflags": "faststart"} if path.suffix.lower() in (".mp4", ".mov", ".m4v") else {}
    with av.open(str(path), "w", options=options) as container:
        codec = {".webm": "libvpx", ".mpg": "mpeg2video", ".mpeg": "mpeg2video"}.get(path.suffix.lower(), "libx264")
        stream = container.add_stream(codec, rate=25, options={"crf": "4"} if codec == "libx264" else {})
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = *size, "yuv420p", 2_000_000
        if turned:
            if not hasattr(stream, "set_display_rotation"):
                pytest.skip("this PyAV cannot write how a video is turned")
            stream.set_display_rotation(turned)
        for number in range(first, first + FRAMES):
            pixels = np.zeros((size[1], size[0], 3), np.uint8)
            pixels[..., 0] = STEP * number
            pixels[:, : size[0] // 2, 2] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def number_shown(path: Path) -> int:
    """Return which frame of `write_video` a picture shows."""
    with Image.open(path) as image:
        red = np.asarray(image)[..., 0].astype(int)
    number = round(float(red.mean()) / STEP)
    assert np.abs(red - STEP * number).max() <= TOLERANCE
    return number


def cut_off(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: -len(data) // 5])
