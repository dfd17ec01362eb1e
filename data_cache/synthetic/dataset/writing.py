"""Writing a synthetic data set: pictures in parallel, then lists, table and part boxes, last the finished mark."""

import csv
import io
import os
import threading
from collections.abc import Generator, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from multiprocessing import get_context, parent_process
from pathlib import Path

import cv2
import numpy as np

from data_cache.base.errors import UserError
from data_cache.base.files import is_there, matching, read_json, write_atomically, write_json
from data_cache.base.progress import track
from data_cache.base.signals import ending_in_order
from data_cache.parts.names import PART_NAMES
from data_cache.synthetic.dataset.layouts import SYNTHETIC
from data_cache.synthetic.dataset.new_folder import clear_up_leftovers, new_folder
from data_cache.synthetic.dataset.placing import Layout, Place
from data_cache.synthetic.dataset.plan import plan_shots
from data_cache.synthetic.dataset.settings import SyntheticSettings
from data_cache.synthetic.design.drawing import draw_vehicles
from data_cache.synthetic.design.fleet import Vehicle
from data_cache.synthetic.geometry.camera import station
from data_cache.synthetic.scene.boxes import PartBox
from data_cache.synthetic.scene.render import render
from data_cache.synthetic.vehicle.model import build_model

FINISHED = "synthetic.json"
COLUMNS = ("name", "vehicle_id", "camera_id", "split", "body", "colour", "fleet")


@dataclass(frozen=True)
class Taken:
    """A picture on disk: its size in pixels and its part boxes."""

    place: Place
    width: int
    height: int
    boxes: tuple[PartBox, ...]


@dataclass(frozen=True)
class _Job:
    """The pictures of one vehicle; the places of one shot follow each other."""

    vehicle: Vehicle
    places: tuple[Place, ...]
    settings: SyntheticSettings
    root: Path


def write_synthetic(settings: SyntheticSettings, root: Path, *, workers: int, layout: Layout = SYNTHETIC) -> Path:
    """Write the data set at `root` and return `root`; `workers` processes render, 0 renders in this one.

    Writes the pictures and list files of the layout, images.csv, parts_train.json, parts_test.json and, last,
    synthetic.json, the finished mark; the folder appears as a whole. A finished set with the same settings is kept as
    it is. Raises UserError where a finished set of other settings or anything else lies there, or beside it a folder
    that is taken for the same data set; on SIGTERM, and where a process that renders has been killed.
    """
    if _is_finished(settings, layout, root):
        clear_up_leftovers(root)
        return root
    _refuse_double(layout, root)
    with ending_in_order("nothing is left of it, run it again"), new_folder(root) as folder:
        drawn = draw_vehicles(settings.vehicles, settings.fleet_size, settings.seed)
        vehicles = {vehicle.number: vehicle for vehicle in drawn}
        places = layout.place(plan_shots(settings, drawn))
        jobs = [
            _Job(vehicles[number], tuple(group), settings, folder)
            for number, group in groupby(places, key=lambda place: place.shot.vehicle)
        ]
        with closing(_render_all(jobs, workers)) as rendered:  # no process may write here once the folder goes
            taken = [one for some in track(rendered, "synthetic vehicles", len(jobs)) for one in some]
        for name, content in layout.lists(places, vehicles).items():
            write_atomically(folder / name, content)
        _write_table(folder, places, vehicles)
        write_json(folder / "parts_train.json", coco([one for one in taken if one.place.split == "train"]))
        write_json(folder / "parts_test.json", coco([one for one in taken if one.place.split != "train"]))
        mark = {"layout": layout.dataset, "settings": settings.recorded(), "images": len(taken)}
        write_json(folder / FINISHED, mark)
    return root


def _is_finished(settings: SyntheticSettings, layout: Layout, root: Path) -> bool:
    mark = root / FINISHED
    if not is_there(mark):
        return False
    content = read_json(mark)
    found = content.get("settings") if isinstance(content, dict) else None
    if not isinstance(found, dict):
        raise UserError(f"{mark}: not the mark of a synthetic data set; delete {root} or choose another --data-root")
    found = {"layout": content.get("layout", SYNTHETIC.dataset), **found}  # once there was no other
    wanted = {"layout": layout.dataset, **settings.recorded()}
    different = [
        f"{key} {found.get(key)} (asked for: {wanted[key]})" for key in wanted if found.get(key) != wanted[key]
    ]
    if different:
        raise UserError(
            f"{mark}: the data set there was made with {', '.join(different)}; "
            f"delete {root} or choose another --data-root"
        )
    return True


def _refuse_double(layout: Layout, root: Path) -> None:
    """Raise UserError where a folder beside `root` holds, by its name, a data set that would no longer be found."""
    names = {name.lower() for name in layout.folders}
    for path in matching(root.parent, "*"):
        if path.name.lower() in names and path.name != root.name and path.is_dir():
            raise UserError(
                f"{path}: is taken for the data set {layout.dataset} too, and {root} would stand in its place; "
                "choose another --data-root"
            )


def _render_all(jobs: Sequence[_Job], workers: int) -> Generator[list[Taken], None, None]:
    """Yield the pictures of each job, in order. Raises UserError where a process has been killed."""
    if workers == 0:
        threads = cv2.getNumThreads()
        _use_one_thread()
        try:
            yield from map(_render_vehicle, jobs)
        finally:
            cv2.setNumThreads(threads)
        return
    # spawned, because a forked child would inherit the threads of whatever the caller has loaded
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker)
    try:
        for made in [pool.submit(_render_vehicle, job) for job in jobs]:
            yield made.result()
    except BrokenProcessPool as error:
        raise UserError(
            "a process that renders has ended; where memory is short use fewer --workers, and run it again"
        ) from error
    finally:  # the pool drops what is left itself: `map` would do so from here, which its thread tells as a traceback
        pool.shutdown(cancel_futures=True)


def _use_one_thread() -> None:
    cv2.setNumThreads(1)


def _start_worker() -> None:
    """Begin a process of the pool: it ends with the one that started it, also where that is killed."""
    _use_one_thread()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # it waits for work that nobody will send


def _render_vehicle(job: _Job) -> list[Taken]:
    """Render and write all pictures of one vehicle; each draws from its own random stream."""
    model = build_model(job.vehicle)
    taken, writing = [], []
    with ThreadPoolExecutor(1) as writer:  # the disk is waited for while the next picture is rendered
        for shot, places in groupby(job.places, key=lambda place: place.shot):
            stream = np.random.SeedSequence((job.settings.seed, shot.vehicle, shot.camera, shot.take))
            view = station(shot.camera - 1, job.settings.seed)
            picture = render(model, view, job.settings.image_size, np.random.default_rng(stream))
            for place in places:
                writing.append(writer.submit(write_atomically, job.root / place.name, picture.jpeg))
                taken.append(Taken(place, picture.width, picture.height, picture.boxes))
    for written in writing:
        written.result()
    return taken


def _write_table(root: Path, places: Iterable[Place], vehicles: Mapping[int, Vehicle]) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for place in places:
        vehicle = vehicles[place.shot.vehicle]
        told = (place.name, vehicle.number, place.shot.camera, place.split)
        table.writerow((*told, vehicle.design.body.name, vehicle.design.colour, vehicle.fleet))
    write_atomically(root / "images.csv", text.getvalue().encode())


def coco(taken: Sequence[Taken]) -> dict[str, list[dict[str, object]]]:
    """Return the part boxes as COCO: category ids are 1-based places in PART_NAMES, boxes x, y, width, height."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number, one in enumerate(taken, start=1):
        size = {"width": one.width, "height": one.height}
        images.append({"id": number, "file_name": one.place.name, **size, "vehicle_id": one.place.shot.vehicle})
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
