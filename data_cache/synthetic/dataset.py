"""Writing a synthetic data set: pictures in parallel, then the table and the part boxes, last the finished mark."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from data_cache.attributes import PART_NAMES
from data_cache.errors import UserError
from data_cache.files import read_json, write_atomically, write_json
from data_cache.locks import run_lock
from data_cache.progress import track
from data_cache.synthetic.boxes import PartBox
from data_cache.synthetic.camera import station
from data_cache.synthetic.drawing import draw_vehicles
from data_cache.synthetic.fleet import Vehicle
from data_cache.synthetic.plan import Shot, plan_shots
from data_cache.synthetic.render import render
from data_cache.synthetic.settings import SyntheticSettings
from data_cache.synthetic.vehicle import build_model

FINISHED = "synthetic.json"
COLUMNS = ("name", "vehicle_id", "camera_id", "split", "body", "colour", "fleet")
IMAGE_NAME = re.compile(r"\d{4}_c\d{2}_\d{2}\.jpg")


@dataclass(frozen=True)
class Taken:
    """A picture on disk: its size in pixels and its part boxes."""

    shot: Shot
    width: int
    height: int
    boxes: tuple[PartBox, ...]


@dataclass(frozen=True)
class _Job:
    """The pictures of one vehicle."""

    vehicle: Vehicle
    shots: tuple[Shot, ...]
    settings: SyntheticSettings
    root: Path


def write_synthetic(settings: SyntheticSettings, root: Path, *, workers: int) -> Path:
    """Write the data set under `root` and return `root`; `workers` processes render, 0 renders in this one.

    Writes images/*.jpg, images.csv, parts_train.json, parts_test.json and, last, synthetic.json, the finished mark.
    A finished set with the same settings is kept as it is; an unfinished one is made anew. Raises UserError where a
    finished set of other settings lies there.
    """
    with run_lock(root):
        if _is_finished(settings, root):
            return root
        vehicles = draw_vehicles(settings.vehicles, settings.fleet_size, settings.seed)
        shots = plan_shots(settings, vehicles)
        _remove_strays(root, shots)
        jobs = [
            _Job(vehicle, tuple(shot for shot in shots if shot.vehicle == vehicle.number), settings, root)
            for vehicle in vehicles
        ]
        taken = [one for some in track(_render_all(jobs, workers), "synthetic vehicles", len(jobs)) for one in some]
        _write_table(root, taken, {vehicle.number: vehicle for vehicle in vehicles})
        write_json(root / "parts_train.json", coco([one for one in taken if one.shot.split == "train"]))
        write_json(root / "parts_test.json", coco([one for one in taken if one.shot.split != "train"]))
        write_json(root / FINISHED, {"settings": settings.recorded(), "images": len(taken)})
    return root


def _is_finished(settings: SyntheticSettings, root: Path) -> bool:
    mark = root / FINISHED
    if not mark.exists():
        return False
    content = read_json(mark)
    found = content.get("settings") if isinstance(content, dict) else None
    if not isinstance(found, dict):
        raise UserError(f"{mark}: not the mark of a synthetic data set; delete {root} or choose another --data-root")
    wanted = settings.recorded()
    different = [
        f"{key} {found.get(key)} (asked for: {wanted[key]})" for key in wanted if found.get(key) != wanted[key]
    ]
    if different:
        raise UserError(
            f"{mark}: the data set there was made with {', '.join(different)}; "
            f"delete {root} or choose another --data-root"
        )
    return True


def _remove_strays(root: Path, shots: Sequence[Shot]) -> None:
    """Delete pictures that an unfinished run with other settings left."""
    wanted = {root / shot.name for shot in shots}
    for path in sorted((root / "images").glob("*.jpg")):
        if path not in wanted and IMAGE_NAME.fullmatch(path.name):
            path.unlink()


def _render_all(jobs: Sequence[_Job], workers: int) -> Iterator[list[Taken]]:
    """Yield the pictures of each job, in order."""
    if workers == 0:
        threads = cv2.getNumThreads()
        _use_one_thread()
        try:
            yield from map(_render_vehicle, jobs)
        finally:
            cv2.setNumThreads(threads)
        return
    # spawned, because a forked child would inherit the threads of whatever the caller has loaded
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_use_one_thread) as pool:
        yield from pool.map(_render_vehicle, jobs)


def _use_one_thread() -> None:
    cv2.setNumThreads(1)


def _render_vehicle(job: _Job) -> list[Taken]:
    """Render and write all pictures of one vehicle; each draws from its own random stream."""
    model = build_model(job.vehicle)
    taken, writing = [], []
    with ThreadPoolExecutor(1) as writer:  # the disk is waited for while the next picture is rendered
        for shot in job.shots:
            stream = np.random.SeedSequence((job.settings.seed, shot.vehicle, shot.camera, shot.take))
            view = station(shot.camera - 1, job.settings.seed)
            picture = render(model, view, job.settings.image_size, np.random.default_rng(stream))
            writing.append(writer.submit(write_atomically, job.root / shot.name, picture.jpeg))
            taken.append(Taken(shot, picture.width, picture.height, picture.boxes))
    for written in writing:
        written.result()
    return taken


def _write_table(root: Path, taken: Iterable[Taken], vehicles: dict[int, Vehicle]) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for one in taken:
        shot, design = one.shot, vehicles[one.shot.vehicle].design
        fleet = vehicles[shot.vehicle].fleet
        table.writerow((shot.name, shot.vehicle, shot.camera, shot.split, design.body.name, design.colour, fleet))
    write_atomically(root / "images.csv", text.getvalue().encode())


def coco(taken: Sequence[Taken]) -> dict[str, list[dict[str, object]]]:
    """Return the part boxes as COCO: category ids are 1-based places in PART_NAMES, boxes x, y, width, height."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number, one in enumerate(taken, start=1):
        size = {"width": one.width, "height": one.height}
        images.append({"id": number, "file_name": one.shot.name, **size, "vehicle_id": one.shot.vehicle})
        for box in one.boxes:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": box.label + 1,
                    "bbox": [box.x, box.y, box.width, box.height],
                    "area": box.width * box.height,
                    "iscrowd": 0,
                }
            )
    categories: list[dict[str, object]] = [{"id": number, "name": name} for number, name in enumerate(PART_NAMES, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}
