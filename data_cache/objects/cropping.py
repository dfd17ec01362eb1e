"""Crops of vehicles out of frames, and the product's own table of them; an interrupted run resumes."""

import io
import logging
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from data_cache.base.errors import UserError
from data_cache.base.files import path_exists, read_json, remove_temporary_files, write_atomically, write_json
from data_cache.base.locks import run_lock
from data_cache.base.progress import track
from data_cache.datasets.csv_file import write_csv
from data_cache.images.loading import ImageError, image_size, load_image, path_inside
from data_cache.images.lookup import ImageLookup
from data_cache.images.processes import in_processes
from data_cache.objects.table import BOX, place
from data_cache.objects.tracks import best_of_tracks
from data_cache.objects.video import frame_name, is_video, require_pyav, split_frame, video_frames, video_size

log = logging.getLogger(__name__)

CROPS, TABLE, SETTINGS, FAILED = "crops", "images.csv", "crop.json", "failed.csv"  # in the output folder
TOLERANCE = 2.0  # pixels by which a box may leave its frame without a word: trackers round
LEAST_SIDE = 4  # pixels of a box inside its frame; smaller ones show nothing
CHUNK = 8  # images that a process takes at a time; where there are videos it takes one
Corners = tuple[int, int, int, int]


@dataclass(frozen=True)
class CropSettings:
    """How crops are cut and stored: `margin` is added on each side, as a share of the box's side.

    `quality` is that of JPEG, whose colours are not subsampled.
    """

    margin: float = 0.0
    kind: Literal["jpg", "png"] = "jpg"
    quality: int = 95


class Cut(NamedTuple):
    """A crop to write: the pixels that it shows of an image or of a video's frame, and its path below the output."""

    row: int  # of its object
    number: int | None  # of its frame, if that is of a video
    box: Corners
    area: float  # of the object's own box inside the frame
    name: str


@dataclass(frozen=True)
class CropSummary:
    """What `crop_objects` wrote: crops in the table, those written now, and lines on objects that it could not use."""

    table: Path
    crops: int
    written: int
    failures: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values, of the failures their number and the first."""
        counts = {"failures": len(self.failures), "first_failure": next(iter(self.failures), "")}
        return {**asdict(self), "table": str(self.table), **counts}


def crop_objects(
    objects: pd.DataFrame,
    images: Path,
    output: Path,
    settings: CropSettings,
    workers: int,
    per_track: int | None = None,
) -> CropSummary:
    """Write the crop of every object below `output`/crops, and `output`/images.csv with a row each, in their order.

    `objects` is an `objects_table`, `images` the folder of the images and videos that it names. An object that cannot
    be cut out is in failed.csv instead, with the reason. The name of a crop comes from its frame and box, so it is the
    same in every run; crops that exist are kept, and of a video without a missing crop only the first frame is decoded.
    `per_track` leaves out all but that many boxes of each track, see `best_of_tracks`. `workers` processes read and
    write, this one if it is 0. Raises UserError if `output` has crops of other settings or an images.csv that
    `crop` did not write, there are videos but not PyAV, or nothing can be cut out; then nothing is written.
    """
    with run_lock(output):
        _refuse_own_table(objects, output)
        has_settings = path_exists(output / SETTINGS) and _has_crops(output)
        wanted = {**asdict(settings), "images": str(images.resolve())}
        if has_settings:
            _require_settings(output, wanted)
        failures = {row: f"{place(objects, row)}: {fault}" for row, fault in enumerate(objects["fault"]) if fault}
        _warn_of_nameless(objects)
        frames = _frames(objects, images, failures)
        cuts = _cuts(objects, frames, settings, failures)
        if per_track is not None:
            cuts = _best_of_tracks(objects, cuts, per_track)
        if cuts and not has_settings:
            write_json(output / SETTINGS, wanted)  # before the first crop: the run may be interrupted
        jobs = _missing(cuts, output)
        remove_temporary_files(*(output / cut.name for _, found in jobs for cut in found))
        write = partial(_write_crops, images, output, settings)
        videos = any(is_video(file) for file, _ in jobs)
        done = in_processes(write, jobs, workers, chunk=1 if videos else CHUNK)
        for failed in track(done, f"cutting out ({'images and videos' if videos else 'frames'})", len(jobs)):
            failures |= {row: f"{place(objects, row)}: {reason}" for row, reason in failed.items()}
        kept = {cut.row: cut for found in cuts.values() for cut in found if cut.row not in failures}
        if not kept:  # the tables of an earlier run stay: the frames may be on a drive that is not there
            reason = f"first {failures[min(failures)]}" if failures else "the tables list none"
            raise UserError(f"{output}: no object could be cut out, {reason}")
        _write_tables(objects, kept, failures, output)
    lines = tuple(failures[row] for row in sorted(failures))
    written = sum(cut.row in kept for _, found in jobs for cut in found)
    return CropSummary(output / TABLE, len(kept), written, lines)


def _warn_of_nameless(objects: pd.DataFrame) -> None:
    nameless = np.flatnonzero((objects["split"] == "train") & (objects["vehicle_id"] == ""))
    if len(nameless):
        log.warning(
            f"{len(nameless):,} objects to learn from have no vehicle, first {place(objects, nameless[0])}: as a "
            f"data set {TABLE} is refused; give them one, or the split gallery"
        )


def _refuse_own_table(objects: pd.DataFrame, output: Path) -> None:
    """Raise UserError if the table that would be written is one of `objects`, or there is one of the user."""
    path = output / TABLE
    if path.resolve() in {Path(file).resolve() for file in objects["file"].unique()}:
        raise UserError(f"{path}: is also a table to read, and would be replaced; choose another --output")
    if path_exists(path) and not path_exists(output / SETTINGS):
        raise UserError(f"{path}: was not written by crop, and would be replaced; choose another --output")


def _has_crops(output: Path) -> bool:
    return any(not name.startswith(".") for _, _, names in os.walk(output / CROPS) for name in names)


def _require_settings(output: Path, wanted: Mapping[str, Any]) -> None:
    """Raise UserError if the crops were cut with other settings or from other frames, which may have the same names.

    Before version 0.6 the folder of the frames was not noted.
    """
    found = read_json(output / SETTINGS)
    if not isinstance(found, dict) or {"images": wanted["images"], **found} != wanted:
        raise UserError(
            f"{output}: its crops were cut with {found}, not {wanted}; delete it, or choose another --output"
        )


def _frames(objects: pd.DataFrame, images: Path, failures: dict[int, str]) -> dict[str, tuple[str, int, int]]:
    """Return the file below `images`, width and height of each image and video that can be read.

    Rows of the others fail.
    """
    lookup, found = ImageLookup(images), {}
    sources = [split_frame(image) for image in objects["image"]]
    video = next((source for source, number in sources if number is not None), None)
    if video is not None:
        require_pyav(images / video)
    rows_of = objects.groupby([source for source, _ in sources], sort=False).groups
    for source, rows in track(rows_of.items(), "looking for frames", len(rows_of)):
        usable = [row for row in rows if row not in failures]
        try:
            file = lookup.find(str(source))
            size_of = video_size if is_video(file) else image_size
            found[str(source)] = (file, *size_of(path_inside(images, file)))
        except UserError as error:
            failures |= {row: f"{place(objects, row)}: {error}" for row in usable}
    for note in lookup.notes():
        log.info(note)
    return found


def _cuts(
    objects: pd.DataFrame,
    frames: Mapping[str, tuple[str, int, int]],
    settings: CropSettings,
    failures: dict[int, str],
) -> dict[str, list[Cut]]:
    """Return the crops of each image and video. Boxes are clipped to the frame; one with too little inside fails."""
    cuts: dict[str, list[Cut]] = defaultdict(list)
    names: Counter[str] = Counter()
    clipped, repeated = [], []
    boxes = objects[BOX].to_numpy(np.float64)
    files = {file for file, *_ in frames.values() if not is_video(file)}  # two names may mean one file
    files_of_stem = Counter(map(_without_ending, files))
    for row, (image, box, shares) in enumerate(zip(objects["image"], boxes, objects["shares"], strict=True)):
        if row in failures:
            continue
        source, number = split_frame(image)
        file, width, height = frames[source]
        if number is None and is_video(file):
            failures[row] = f"{place(objects, row)}: {file} is a video: name a frame, as {frame_name(file, 12)}"
            continue
        side = np.array([width, height, width, height], np.float64)
        box = box * side if shares else box
        inside = np.clip(box, 0, side)
        if min(inside[2] - inside[0], inside[3] - inside[1]) < LEAST_SIDE:
            corners = ", ".join(f"{value:g}" for value in box)
            failures[row] = (
                f"{place(objects, row)}: the box {corners} (x0, y0, x1, y1) has less than {LEAST_SIDE} pixels a side "
                f"inside its frame of {width} x {height}"
            )
            continue
        if np.abs(inside - box).max() > TOLERANCE:
            clipped.append(row)
        pixels = _with_margin(inside, settings.margin, width, height)
        # a video keeps its ending: its frames may also lie beside it, in a folder that is named like it
        frame = _without_ending(file) if number is None else f"{file}/{number:06d}"
        if files_of_stem[frame] > 1:  # and so do images that differ in it alone
            frame = file
        name = f"{CROPS}/{frame}_{'-'.join(map(str, pixels))}"
        names[name] += 1
        if names[name] > 1:
            repeated.append(row)
            name += f"_{names[name]}"
        area = float(np.prod(inside[2:] - inside[:2]))
        cuts[file].append(Cut(row, number, pixels, area, f"{name}.{settings.kind}"))
    for rows, what in ((clipped, "boxes leave their frame and are clipped"), (repeated, "objects are listed again")):
        if rows:
            log.warning(f"{len(rows):,} {what}, first {place(objects, rows[0])}")
    return cuts


def _without_ending(file: str) -> str:
    return str(PurePosixPath(file).with_suffix(""))


def _best_of_tracks(objects: pd.DataFrame, cuts: Mapping[str, Sequence[Cut]], per_track: int) -> dict[str, list[Cut]]:
    areas = {cut.row: cut.area for found in cuts.values() for cut in found}
    best = best_of_tracks(objects, areas, per_track)
    log.info(f"{len(areas) - len(best):,} of {len(areas):,} objects are left out: {per_track} of each track are kept")
    kept = {file: [cut for cut in found if cut.row in best] for file, found in cuts.items()}
    return {file: found for file, found in kept.items() if found}


def _with_margin(box: NDArray[np.float64], margin: float, width: int, height: int) -> Corners:
    """Return whole pixels around a box with its margin, inside the frame."""
    x0, y0, x1, y1 = box.tolist()
    wider, higher = margin * (x1 - x0), margin * (y1 - y0)
    return (
        max(0, math.floor(x0 - wider)),
        max(0, math.floor(y0 - higher)),
        min(width, math.ceil(x1 + wider)),
        min(height, math.ceil(y1 + higher)),
    )


def _missing(cuts: Mapping[str, Sequence[Cut]], output: Path) -> list[tuple[str, list[Cut]]]:
    missing = ((file, [cut for cut in found if not path_exists(output / cut.name)]) for file, found in cuts.items())
    return [(file, found) for file, found in missing if found]


def _write_crops(images: Path, output: Path, settings: CropSettings, job: tuple[str, Sequence[Cut]]) -> dict[int, str]:
    """Write the crops of one image or video; return the rows that failed, with the reason."""
    file, cuts = job
    waiting: dict[int | None, list[Cut]] = defaultdict(list)
    for cut in cuts:
        waiting[cut.number].append(cut)
    fault = ""
    try:
        for number, pixels in _frames_in(path_inside(images, file), waiting):
            picture = Image.fromarray(pixels)
            for cut in waiting.pop(number):
                write_atomically(output / cut.name, _encoded(picture.crop(cut.box), settings))
    except ImageError as error:  # of reading; one of writing ends the command
        fault = str(error)
    left = [cut for found in waiting.values() for cut in found]
    return {cut.row: fault or f"{images / file}: ends before frame {cut.number}, counted from 0" for cut in left}


def _frames_in(path: Path, numbers: Iterable[int | None]) -> Iterable[tuple[int | None, NDArray[np.uint8]]]:
    """Return the wanted frames of a video with their numbers, or the pixels of an image, whose number is None."""
    if is_video(path.name):
        return video_frames(path, [number for number in numbers if number is not None])
    return [(None, load_image(path))]


def _encoded(crop: Image.Image, settings: CropSettings) -> bytes:
    buffer = io.BytesIO()
    if settings.kind == "png":
        crop.save(buffer, "PNG")
    else:
        crop.save(buffer, "JPEG", quality=settings.quality, subsampling=0)
    return buffer.getvalue()


def _write_tables(objects: pd.DataFrame, kept: Mapping[int, Cut], failures: Mapping[int, str], output: Path) -> None:
    """Write images.csv, a row a crop, and failed.csv with the others, or remove that of an earlier run."""
    rows = sorted(kept)
    table = objects.loc[rows].drop(columns=["shares", "place", "fault"])
    table.insert(0, "name", [kept[row].name for row in rows])
    table = table.rename(columns={"image": "frame"})
    write_csv(output / TABLE, table)
    failed = objects.loc[sorted(failures), ["file", "row", "image"]].assign(
        reason=[failures[row] for row in sorted(failures)]
    )
    if len(failed):
        write_csv(output / FAILED, failed)
    elif path_exists(output / FAILED):
        (output / FAILED).unlink()
