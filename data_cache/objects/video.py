"""Frames of video files, by PyAV: counted from 0 as they are shown, and turned as the metadata say.

Numbers and pixels are those of OpenCV's VideoCapture. The name of a frame is that of its video and its number, as
`clip.mp4#12`.
"""

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from data_cache.images.loading import ImageError

VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".ts", ".mpg", ".mpeg")
DEMUXERS = "mov,matroska,avi,mpegts,mpeg,mpegvideo"  # FFmpeg's names; others, such as playlists, open further files
REMEDY = "for videos install pip install 'pgan-vehicle-reid[video]'"
MOST_FRAMES = 10**9  # numbers are below, so that a wrong column is noticed
NAME = re.compile(r"(.+)#(\d{1,9})", re.DOTALL)


def is_video(name: str) -> bool:
    """Return whether a file is a video, by the ending of its name."""
    return PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES


def frame_name(video: str, number: int) -> str:
    """Return the name of a frame; numbers count from 0.

    >>> frame_name("north/clip.mp4", 12)
    'north/clip.mp4#12'
    """
    return f"{video}#{number}"


def split_frame(image: str) -> tuple[str, int | None]:
    """Return the video and the number of a frame by its `frame_name`; any other image has no number.

    >>> split_frame("north/clip.mp4#12"), split_frame("clip#12.jpg")
    (('north/clip.mp4', 12), ('clip#12.jpg', None))
    """
    match = NAME.fullmatch(image)
    return (match[1], int(match[2])) if match and is_video(match[1]) else (image, None)


def require_pyav(path: Path) -> None:
    """Raise UserError, which names the video `path` and the remedy, if PyAV is not installed."""
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise UserError(f"{path}: videos need PyAV; {REMEDY}") from error


def video_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of the frames that `video_frames` yields: of the first, the only one that is decoded.

    Raises ImageError like `video_frames`, and if there is no frame.
    """
    with _decoded(path) as frames:
        frame = next(frames, None)
        if frame is None:
            raise ImageError(f"{path}: a video without a frame")
        return (frame.height, frame.width) if _quarter_turns(frame) % 2 else (frame.width, frame.height)


def video_frames(path: Path, numbers: Collection[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield number and pixels, RGB, (H, W, 3) uint8, of the wanted frames of a video, in ascending order.

    The video is decoded once, from its start to the last wanted frame; one frame is kept at a time. Numbers count
    from 0; those beyond the end are not yielded. Raises UserError without PyAV, and ImageError if the file is missing,
    is no video, is damaged, or its frames change their size: after the frames before, which are right.
    """
    wanted = set(numbers)
    size = None
    with _decoded(path) as frames:
        for number, frame in enumerate(islice(frames, max(wanted, default=-1) + 1)):
            size = size or (frame.width, frame.height)
            if (frame.width, frame.height) != size:
                raise ImageError(f"{path}: its frames change their size at frame {number}")
            if number in wanted:
                pixels = np.rot90(frame.to_ndarray(format="rgb24"), _quarter_turns(frame))
                yield number, np.ascontiguousarray(pixels)


@contextmanager
def _decoded(path: Path) -> Iterator[Iterator[Any]]:
    """Yield the frames of a video, as PyAV decodes them, one after another. Raises ImageError with `path`."""
    require_pyav(path)
    import av

    try:
        # `file:` so that no name is taken for an address; metadata in another encoding than UTF-8 are frequent
        options = {"format_whitelist": DEMUXERS}
        with av.open(f"file:{path}", options=options, metadata_errors="replace") as container:
            stream = container.streams.best("video")
            if stream is None:
                raise ImageError(f"{path}: a file without a video stream")
            yield container.decode(stream)
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such file") from error
    except av.FFmpegError as error:
        raise ImageError(f"{path}: cannot be read as a video ({error.strerror})") from error


def _quarter_turns(frame: Any) -> int:
    """Return by how many quarters a decoded frame is to be turned, counterclockwise."""
    turns: int = round(frame.rotation / 90)
    return turns
