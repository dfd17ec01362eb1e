"""Reading videos: numbers, pixels and turns of frames are OpenCV's, and bad files are named."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from data_cache.images.loading import ImageError
from data_cache.objects.video import VIDEO_SUFFIXES, frame_name, split_frame, video_frames, video_size
from helpers.videos import FRAMES, HEIGHT, STEP, TOLERANCE, WIDTH, cut_off, write_video


@pytest.mark.parametrize(
    ("name", "turned"), [*((f"clip{suffix}", 0) for suffix in VIDEO_SUFFIXES), ("CLIP.MP4", 0)]
    + [("clip.mp4", turned) for turned in (90, -90, 180)],
)  # fmt: skip
def test_frames_and_their_numbers_are_those_of_opencv(tmp_path: Path, name: str, turned: int) -> None:
    path = write_video(tmp_path / name, turned=turned)
    capture, expected = cv2.VideoCapture(str(path)), []
    while (frame := capture.read())[0]:
        expected.append(frame[1][..., ::-1])
    found = dict(video_frames(path, range(FRAMES + 5)))
    assert list(found) == list(range(FRAMES)) and len(expected) == FRAMES
    for number, pixels in found.items():
        assert np.abs(pixels.astype(int) - expected[number]).max() <= TOLERANCE
    height, width = found[0].shape[:2]
    assert video_size(path) == (width, height) == ((HEIGHT, WIDTH) if turned % 180 else (WIDTH, HEIGHT))
    left, top = (slice(None), slice(0, 20)), (slice(0, 20), slice(None))
    blue = {0: left, 90: (slice(-20, None), slice(None)), -90: top, 180: (slice(None), slice(-20, None))}[turned]
    assert found[5][blue][..., 2].min() > 200 and found[5][..., 2].mean() < 150


def test_frames_come_in_order_and_a_video_is_decoded_to_the_last_one_only(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4")
    assert [number for number, _ in video_frames(path, [7, 0, 7, 3])] == [0, 3, 7]
    assert list(video_frames(path, [])) == []
    cut_off(path)
    assert [number for number, _ in video_frames(path, [2, 5])] == [2, 5]
    found = []
    with pytest.raises(ImageError, match=r"clip\.mp4: cannot be read as a video"):
        for number, pixels in video_frames(path, range(FRAMES)):
            assert abs(int(pixels[0, 0, 0]) - STEP * number) <= TOLERANCE
            found.append(number)
    assert found == list(range(len(found))) and 6 <= len(found) < FRAMES


def test_a_video_that_changes_its_size_is_used_until_then(tmp_path: Path) -> None:
    small, large = write_video(tmp_path / "a.ts"), write_video(tmp_path / "b.ts", size=(128, 96))
    small.write_bytes(small.read_bytes() + large.read_bytes())
    found = []
    with pytest.raises(ImageError, match=rf"a\.ts: its frames change their size at frame {FRAMES}"):
        for number, _ in video_frames(small, [FRAMES - 1, FRAMES + 1]):
            found.append(number)
    assert found == [FRAMES - 1]


PLAYLIST = b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n"  # would make FFmpeg open other files


@pytest.mark.parametrize("data", [b"", b"no video\n" * 100, PLAYLIST, b"\x89PNG", None])
def test_what_is_no_video_is_one_line_with_its_name(tmp_path: Path, data: bytes | None) -> None:
    write_video(tmp_path / "other.ts")
    path = tmp_path / "clip.mp4"
    if data == b"\x89PNG":
        Image.new("RGB", (64, 48)).save(path, "PNG")
    elif data is not None:
        path.write_bytes(data)
    reason = "no such file" if data is None else "cannot be read as a video"
    for use in (video_size, lambda path: list(video_frames(path, [0]))):
        with pytest.raises(ImageError, match=rf"clip\.mp4: {reason}[^\n]*$"):
            use(path)


def test_a_file_of_sound_has_no_frames(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="needs the extra video")
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(ImageError, match="without a video stream"):
        video_size(tmp_path / "clip.mp4")


def test_names_of_frames() -> None:
    assert split_frame(frame_name("a#1.MOV", 12)) == ("a#1.MOV", 12)
    for image in ("a.jpg", "a#1.jpg", "a.mp4", "a.mp4#", "a.mp4#-1", "a.jpg#1", "a#1"):
        assert split_frame(image) == (image, None)
