"""Columns of a table of frames and boxes: usual names are recognised, given ones obeyed, others refused."""

from collections.abc import Mapping

import numpy as np
import pytest

from data_cache.base.errors import UserError
from data_cache.objects.columns import FORMS, find_columns

TEXTS = ["image", "vehicle_id", "camera_id"]


@pytest.mark.parametrize(
    ("headers", "keys"),
    [
        ("image_id,x,y,w,h,vehicle_id,camera_id", "x y w h"),
        ("Image ID,BBox X,BBox Y,BBox Width,BBox Height", "x y w h"),
        ("file_name,bbox_x1,bbox_y1,bbox_x2,bbox_y2,pid", "x0 y0 x1 y1"),
        ("frame,xmin,ymin,xmax,ymax,cam", "x0 y0 x1 y1"),
        ("path,x0,y0,x1,y1", "x0 y0 x1 y1"),
        ("image,left,top,right,bottom", "x0 y0 x1 y1"),
        ("image,left,top,width,height", "x y w h"),
        ("filename,x_center,y_center,width,height", "cx cy w h"),
        ("h,w,y,x,image,note", "x y w h"),
    ],
)
def test_usual_headers_are_recognised(headers: str, keys: str) -> None:
    found = find_columns(headers.split(","), {}, "t.csv")
    assert " ".join(found.form.keys) == keys
    assert found.texts["image"] == next(
        one for one in headers.split(",") if one.lower()[:5] in ("image", "file_", "frame", "path", "filen")
    )
    assert len({*found.box, *found.texts.values()}) == 4 + len(found.texts)


def test_headers_of_other_scripts_differ() -> None:
    headers = ["image", "x", "y", "w", "h", "камера", "номер"]
    assert find_columns(headers, {"vehicle_id": "Номер"}, "t.csv").texts["vehicle_id"] == "номер"


def test_an_id_of_the_row_is_no_vehicle() -> None:
    found = find_columns(["id", "image", "x", "y", "w", "h", "label", "object_id"], {}, "t.csv")
    assert found.texts == {"image": "image"}


def test_given_columns_go_first_and_are_used_once() -> None:
    headers = ["image", "picture", "x", "y", "w", "h", "a", "b", "c", "d", "vehicle_id"]
    given = {"image": "picture", "cx": "a", "cy": "b", "w": "c", "h": "D", "vehicle_id": "image"}
    found = find_columns(headers, given, "t.csv")
    assert found.box == ("a", "b", "c", "d") and found.form.keys[0] == "cx"
    assert found.texts == {"image": "picture", "vehicle_id": "image"}


def test_forms_become_the_same_corners() -> None:
    corners = np.array([[1.0, 2, 5, 10], [0, 0, 3, 4]])
    x0, y0, x1, y1 = corners.T
    written = {
        "x": np.stack([x0, y0, x1 - x0, y1 - y0], 1),
        "x0": corners,
        "cx": np.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], 1),
    }
    for form in FORMS:
        np.testing.assert_allclose(form.corners(written[form.keys[0]]), corners)


@pytest.mark.parametrize(
    ("headers", "given", "words"),
    [
        (["image", "x", "y", "w"], {}, "no columns of a box"),
        (["number", "x", "y", "w", "h"], {}, "no column names the image"),
        (["image", "x", "y", "w", "h"], {"image": "frame"}, "no such column"),
        (["image", "x", "y", "w", "h"], {"x": "x", "y": "y"}, "all four of one kind"),
        (["image", "x", "y", "w", "h"], {"x": "x", "y": "y", "x1": "w", "y1": "h"}, "all four of one kind"),
    ],
)
def test_what_is_missing_is_named(headers: list[str], given: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        find_columns(headers, given, "t.csv")


@pytest.mark.parametrize(
    ("header", "given", "texts"),
    [
        ("video,frame,x,y,w,h", {}, {"video": "video", "frame": "frame"}),
        ("Video ID,Image-ID,x,y,w,h", {}, {"video": "Video ID", "frame": "Image-ID"}),
        ("clip,frame_number,x,y,w,h", {}, {"video": "clip", "frame": "frame_number"}),
        ("clip,frame,image,x,y,w,h", {}, {"image": "image"}),
        ("clip,image,x,y,w,h", {}, {"image": "image"}),
        ("frame,x,y,w,h", {}, {"image": "frame"}),
        ("clip,frame,x,y,w,h", {"image": "frame"}, {"image": "frame"}),
        ("clip,image,x,y,w,h,n", {"frame": "n"}, {"video": "clip", "frame": "n"}),
        ("source,frame,name,x,y,w,h", {"video": "source"}, {"video": "source", "frame": "frame"}),
        ("a,b,x,y,w,h", {"video": "a", "frame": "b"}, {"video": "a", "frame": "b"}),
    ],
)
def test_columns_of_videos(header: str, given: Mapping[str, str], texts: Mapping[str, str]) -> None:
    assert find_columns(header.split(","), given, "t.csv").texts == texts


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"video": "a"}, "no column is the frame; name one with --column frame=HEADER"),
        ({"frame": "b"}, "no column is the video; name one with --column video=HEADER"),
        ({"video": "a", "image": "b"}, "--column image and --column video"),
    ],
)
def test_half_a_video_is_refused(given: Mapping[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        find_columns(["a", "b", "x", "y", "w", "h"], given, "t.csv")
