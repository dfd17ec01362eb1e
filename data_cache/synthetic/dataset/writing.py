"""Write a synthetic data set: render the pictures in parallel, then write lists, CSV, part boxes and the mark."""

import os
import threading
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import groupby, starmap
from multiprocessing import get_context, parent_process
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from data_cache.base.errors import UserError
from data_cache.base.files import path_exists, read_json, sorted_glob, write_atomically, write_json
from data_cache.base.progress import track
from data_cache.datasets.catalogue import normal_form
from data_cache.datasets.csv_file import RENDERING_FILE
from data_cache.parts.fingerprints import require_fingerprint
from data_cache.parts.names import PART_NAMES
from data_cache.synthetic.dataset.atomic_folder import atomic_folder, remove_leftovers
from data_cache.synthetic.dataset.layouts import SYNTHETIC, ImageFile, Layout
from data_cache.synthetic.dataset.plan import plan_shots
from data_cache.synthetic.dataset.settings import SyntheticSettings
from data_cache.synthetic.design.sampling import sample_vehicles
from data_cache.synthetic.design.traits import Vehicle
from data_cache.synthetic.geometry.camera import road_camera
from data_cache.synthetic.scene.boxes import PartBox
from data_cache.synthetic.scene.render import render
from data_cache.synthetic.scene.wide.render import render_wide
from data_cache.synthetic.vehicle.model import build_model

COLUMNS = ["name", "vehicle_id", "camera_id", "split", "body", "colour", "fleet"]


@dataclass(frozen=True)
class RenderedImage:
    """An image file that has been written, its size in pixels and its part boxes."""

    file: ImageFile
    width: int
    height: int
    boxes: tuple[PartBox, ...]


Job = tuple[Vehicle, list[ImageFile]]  # a vehicle and its files; files of the same shot are adjacent


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
        sampled = sample_vehicles(settings.vehicles, settings.fleet_size, settings.seed, settings.variety)
        vehicles = {vehicle.number: vehicle for vehicle in sampled}
        files = layout.image_files(plan_shots(settings, sampled))
        jobs = [(vehicles[number], list(own)) for number, own in groupby(files, key=lambda file: file.shot.vehicle)]
        render_job = partial(_render_vehicle, settings, folder)
        with closing(
            _render_all(render_job, jobs, workers)
        ) as batches:  # ends the workers before the folder is removed
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
    if not path_exists(mark):
        return False
    content = read_json(mark)
    recorded = content.get("settings") if isinstance(content, dict) else None
    if isinstance(recorded, dict):
        recorded = {"layout": content.get("layout", SYNTHETIC.dataset), **recorded}  # older marks have no layout
    wanted = {"layout": layout.dataset, **settings.to_dict()}
    require_fingerprint(recorded, wanted, mark, f"delete {root} or choose another --data-root")
    return True


def _refuse_second_folder(layout: Layout, root: Path) -> None:
    """Raise UserError if a folder beside `root` is read as the same data set, because `root` would replace it."""
    names = {normal_form(name) for name in layout.folders}
    for path in sorted_glob(root.parent, "*"):
        if normal_form(path.name) in names and path.name != root.name and path.is_dir():
            raise UserError(
                f"{path}: already a folder of data set {layout.dataset}, which {root} would replace; "
                "choose another --data-root"
            )


def _render_all(
    render_job: "partial[list[RenderedImage]]", jobs: Sequence[Job], workers: int
) -> Generator[list[RenderedImage], None, None]:
    """Yield the images of each job, in order. Raises UserError if a process was killed."""
    if workers == 0:
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            yield from starmap(render_job, jobs)
        finally:
            cv2.setNumThreads(threads)
        return
    # spawned, because a forked child would inherit the locks of the caller's threads
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker)
    try:
        for future in [pool.submit(render_job, *job) for job in jobs]:
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


def _render_vehicle(
    settings: SyntheticSettings, root: Path, vehicle: Vehicle, files: Sequence[ImageFile]
) -> list[RenderedImage]:
    """Render and write all images of one vehicle; each shot has its own random stream."""
    model = build_model(vehicle)
    images, writes = [], []
    with ThreadPoolExecutor(1) as writer:  # renders the next picture while the disk is busy
        for shot, copies in groupby(files, key=lambda file: file.shot):
            rng = np.random.default_rng((settings.seed, shot.vehicle, shot.camera, shot.take))
            if settings.variety == "wide":
                picture = render_wide(model, settings.image_size, rng)
            else:
                picture = render(model, road_camera(shot.camera - 1, settings.seed), settings.image_size, rng)
            for file in copies:
                writes.append(writer.submit(write_atomically, root / file.name, picture.jpeg))
                images.append(RenderedImage(file, picture.width, picture.height, picture.boxes))
    for write in writes:
        write.result()
    return images


def _csv(files: Sequence[ImageFile], vehicles: Mapping[int, Vehicle]) -> bytes:
    """Return the content of images.csv."""
    rows = []
    for file in files:
        vehicle, camera = vehicles[file.shot.vehicle], file.shot.camera
        body, colour = vehicle.design.body.name, vehicle.design.colour
        rows.append((file.name, vehicle.number, camera, file.split, body, colour, vehicle.fleet))
    return pd.DataFrame(rows, columns=COLUMNS).to_csv(index=False, lineterminator="\n").encode()


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
