"""Write a synthetic data set: render the pictures in parallel, then write lists, CSV, part boxes and the mark."""

import csv
import io
import os
import threading
from collections.abc import Generator, Mapping, Sequence
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
from data_cache.datasets.csv_file import RENDERING_FILE
from data_cache.parts.names import PART_NAMES
from data_cache.synthetic.dataset.atomic_folder import atomic_folder, remove_leftovers
from data_cache.synthetic.dataset.benchmark_layouts import SYNTHETIC
from data_cache.synthetic.dataset.layout import ImageFile, Layout
from data_cache.synthetic.dataset.plan import plan_shots
from data_cache.synthetic.dataset.settings import SyntheticSettings
from data_cache.synthetic.design.sampling import sample_vehicles
from data_cache.synthetic.design.traits import Vehicle
from data_cache.synthetic.geometry.camera import road_camera
from data_cache.synthetic.scene.boxes import PartBox
from data_cache.synthetic.scene.render import render
from data_cache.synthetic.vehicle.model import build_model

COLUMNS = ("name", "vehicle_id", "camera_id", "split", "body", "colour", "fleet")


@dataclass(frozen=True)
class RenderedImage:
    """An image file that has been written, its size in pixels and its part boxes."""

    file: ImageFile
    width: int
    height: int
    boxes: tuple[PartBox, ...]


@dataclass(frozen=True)
class _Job:
    """The image files of one vehicle; files of the same shot are adjacent."""

    vehicle: Vehicle
    files: tuple[ImageFile, ...]
    settings: SyntheticSettings
    root: Path


def write_synthetic(settings: SyntheticSettings, root: Path, *, workers: int, layout: Layout = SYNTHETIC) -> Path:
    """Write the data set at `root` and return `root`; render in `workers` processes, or in this one if 0.

    Writes the image and list files of the layout, images.csv, parts_train.json, parts_test.json and synthetic.json,
    which marks the set as finished; the folder appears complete or not at all. A finished set with the same settings is
    kept. Raises UserError if anything else is at `root`, if another folder beside it is read as the same data set, or
    if a rendering process was killed.
    """
    if _is_finished(settings, layout, root):
        remove_leftovers(root)
        return root
    _refuse_second_folder(layout, root)
    with atomic_folder(root) as folder:
        sampled = sample_vehicles(settings.vehicles, settings.fleet_size, settings.seed)
        vehicles = {vehicle.number: vehicle for vehicle in sampled}
        files = layout.image_files(plan_shots(settings, sampled))
        jobs = [
            _Job(vehicles[number], tuple(own), settings, folder)
            for number, own in groupby(files, key=lambda file: file.shot.vehicle)
        ]
        with closing(_render_all(jobs, workers)) as batches:  # ends the workers before the folder is removed
            images = [image for batch in track(batches, "synthetic vehicles", len(jobs)) for image in batch]
        for name, content in layout.list_files(files, vehicles).items():
            write_atomically(folder / name, content)
        write_atomically(folder / "images.csv", _csv(files, vehicles))
        write_json(folder / "parts_train.json", _coco([image for image in images if image.file.split == "train"]))
        write_json(folder / "parts_test.json", _coco([image for image in images if image.file.split != "train"]))
        mark = {"layout": layout.dataset, "settings": settings.to_dict(), "images": len(images)}
        write_json(folder / RENDERING_FILE, mark)
    return root


def _is_finished(settings: SyntheticSettings, layout: Layout, root: Path) -> bool:
    mark = root / RENDERING_FILE
    if not is_there(mark):
        return False
    content = read_json(mark)
    recorded = content.get("settings") if isinstance(content, dict) else None
    if not isinstance(recorded, dict):
        raise UserError(f"{mark}: not the mark of a synthetic data set; delete {root} or choose another --data-root")
    recorded = {"layout": content.get("layout", SYNTHETIC.dataset), **recorded}  # older marks have no layout
    wanted = {"layout": layout.dataset, **settings.to_dict()}
    different = [
        f"{key} {recorded.get(key)} (not {value})" for key, value in wanted.items() if recorded.get(key) != value
    ]
    if different:
        raise UserError(
            f"{mark}: the data set there has {', '.join(different)}; delete {root} or choose another --data-root"
        )
    return True


def _refuse_second_folder(layout: Layout, root: Path) -> None:
    """Raise UserError if a folder beside `root` is read as the same data set, because `root` would replace it."""
    names = {name.lower() for name in layout.folders}
    for path in matching(root.parent, "*"):
        if path.name.lower() in names and path.name != root.name and path.is_dir():
            raise UserError(
                f"{path}: already a folder of data set {layout.dataset}, which {root} would replace; "
                "choose another --data-root"
            )


def _render_all(jobs: Sequence[_Job], workers: int) -> Generator[list[RenderedImage], None, None]:
    """Yield the images of each job, in order. Raises UserError if a process was killed."""
    if workers == 0:
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            yield from map(_render_vehicle, jobs)
        finally:
            cv2.setNumThreads(threads)
        return
    # spawned, because a forked child would inherit the locks of the caller's threads
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker)
    try:
        for future in [pool.submit(_render_vehicle, job) for job in jobs]:
            yield future.result()
    except BrokenProcessPool as error:
        raise UserError(
            "a rendering process was killed; if memory is short, use fewer --workers, and run it again"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Use one thread, and exit when the parent process ends, even if it is killed."""
    cv2.setNumThreads(1)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # the main thread is waiting for jobs


def _render_vehicle(job: _Job) -> list[RenderedImage]:
    """Render and write all images of one vehicle; each shot has its own random stream."""
    model = build_model(job.vehicle)
    images, writes = [], []
    with ThreadPoolExecutor(1) as writer:  # renders the next picture while the disk is busy
        for shot, files in groupby(job.files, key=lambda file: file.shot):
            camera = road_camera(shot.camera - 1, job.settings.seed)
            rng = np.random.default_rng((job.settings.seed, shot.vehicle, shot.camera, shot.take))
            picture = render(model, camera, job.settings.image_size, rng)
            for file in files:
                writes.append(writer.submit(write_atomically, job.root / file.name, picture.jpeg))
                images.append(RenderedImage(file, picture.width, picture.height, picture.boxes))
    for write in writes:
        write.result()
    return images


def _csv(files: Sequence[ImageFile], vehicles: Mapping[int, Vehicle]) -> bytes:
    """Return the content of images.csv."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for file in files:
        vehicle = vehicles[file.shot.vehicle]
        design = vehicle.design
        camera = file.shot.camera
        writer.writerow((file.name, vehicle.number, camera, file.split, design.body.name, design.colour, vehicle.fleet))
    return text.getvalue().encode()


def _coco(images: Sequence[RenderedImage]) -> dict[str, list[dict[str, object]]]:
    """Return the part boxes in COCO format; category ids are 1-based indices into PART_NAMES."""
    categories: list[dict[str, object]] = [{"id": number, "name": name} for number, name in enumerate(PART_NAMES, 1)]
    records: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number, image in enumerate(images, start=1):
        size = {"width": image.width, "height": image.height}
        records.append({"id": number, "file_name": image.file.name, **size, "vehicle_id": image.file.shot.vehicle})
        for box in image.boxes:
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
    return {"images": records, "annotations": annotations, "categories": categories}
