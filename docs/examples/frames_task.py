"""Make a task in the form in which a city gives it: frames of street cameras, and tables of boxes.

Rendered vehicles, one to three in each frame of 1280 x 720 pixels, with their plates blurred. Vehicles of training are
in train.csv with their ids; query.csv and gallery.csv have none, and a fifth of the queries has no match. truth.csv,
which `solve` never sees, has the vehicle of each query and gallery object.

    python cli.py synth --vehicles 400 --cameras 30 --cameras-per-vehicle 4 --images-per-camera 1 --data-root task
    python docs/examples/frames_task.py task/synthetic task
    python cli.py solve --images task/frames --train task/train.csv --query task/query.csv --gallery task/gallery.csv \\
        --output answer
    python docs/examples/frames_task.py --score answer task/truth.csv
"""

import csv
import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

SIZE = (1280, 720)
ABSENT = 0.2  # of the queries
SEED = 0
HEADER = ("image_id", "x", "y", "w", "h", "camera_id")


def plates(source: Path) -> dict[str, list[tuple[float, ...]]]:
    """Return the boxes of plates, x y w h, by image name."""
    found: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for name in ("parts_train.json", "parts_test.json"):
        document = json.loads((source / name).read_text(encoding="utf-8"))
        files = {image["id"]: image["file_name"] for image in document["images"]}
        kinds = {category["id"] for category in document["categories"] if "plate" in category["name"]}
        for annotation in document["annotations"]:
            if annotation["category_id"] in kinds:
                found[files[annotation["image_id"]]].append(tuple(annotation["bbox"]))
    return found


def vehicle(path: Path, covered: Iterable[tuple[float, ...]]) -> Image.Image:
    """Return the picture of a vehicle with its plates blurred."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    for x, y, width, height in covered:
        box = (int(x) - 2, int(y) - 2, int(x + width) + 3, int(y + height) + 3)
        blurred = picture.crop(box).filter(ImageFilter.BoxBlur(max(4, width / 4)))
        picture.paste(blurred, box[:2])
    return picture


def frame(pictures: list[Image.Image], random: np.random.Generator) -> tuple[Image.Image, list[tuple[int, ...]]]:
    """Return a frame with the pictures side by side on a road, and their boxes, x y w h."""
    road = np.clip(random.normal(110, 12, (SIZE[1] // 4, SIZE[0] // 4, 1)) + np.zeros(3), 0, 255).astype(np.uint8)
    canvas = Image.fromarray(road).resize(SIZE, Image.Resampling.BILINEAR)
    boxes, column = [], SIZE[0] // len(pictures)
    for number, picture in enumerate(pictures):
        picture.thumbnail((column - 10, SIZE[1] - 10))
        x = number * column + int(random.integers(0, max(1, column - picture.width)))
        y = int(random.integers(0, SIZE[1] - picture.height))
        canvas.paste(picture, (x, y))
        boxes.append((x, y, picture.width, picture.height))
    return canvas, boxes


def roles(rows: list[dict[str, str]], random: np.random.Generator) -> dict[str, str]:
    """Return which table each image goes into, by name: train, query, gallery, or none."""
    of_vehicle: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        of_vehicle[row["vehicle_id"]].append(row)
    found = {}
    for images in of_vehicle.values():
        if images[0]["split"] == "train":
            found |= {row["name"]: "train" for row in images}
            continue
        absent, chosen = random.random() < ABSENT, int(random.integers(len(images)))
        for number, row in enumerate(images):
            rest = "" if absent or row["camera_id"] == images[chosen]["camera_id"] else "gallery"
            found[row["name"]] = "query" if number == chosen else rest
    return found


def main() -> None:
    """Write the task; the arguments are the rendered set and the folder to write."""
    source, target = map(Path, sys.argv[1:])
    random, covered = np.random.default_rng(SEED), plates(source)
    with (source / "images.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    role = roles(rows, random)
    by_camera: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        if role[row["name"]]:
            by_camera[row["camera_id"]].append(row)
    tables: dict[str, list[tuple[object, ...]]] = defaultdict(list)
    for camera, images in sorted(by_camera.items()):
        waiting, number = [images[index] for index in random.permutation(len(images))], 0
        while waiting:
            count = int(random.integers(1, 4))
            group, waiting = waiting[:count], waiting[count:]
            canvas, boxes = frame([vehicle(source / row["name"], covered[row["name"]]) for row in group], random)
            name = f"cam{int(camera):02d}_{number:06d}"
            number += 1
            (target / "frames").mkdir(parents=True, exist_ok=True)
            canvas.save(target / "frames" / f"{name}.jpg", quality=92)
            for row, box in zip(group, boxes, strict=True):
                tables[role[row["name"]]].append((name, *box, f"cam{int(camera):02d}", row["vehicle_id"]))
    for table, objects in tables.items():
        shuffled = [objects[index] for index in random.permutation(len(objects))]
        header = (*HEADER, "vehicle_id") if table == "train" else HEADER
        write(target / f"{table}.csv", header, [one[: len(header)] for one in shuffled])
        tables[table] = shuffled
    truth = [(table, row, o[6]) for table in ("query", "gallery") for row, o in enumerate(tables[table])]
    write(target / "truth.csv", ("table", "row", "vehicle_id"), truth)


def write(path: Path, header: Iterable[str], rows: Iterable[tuple[object, ...]]) -> None:
    """Write a CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def score() -> None:
    """Print mAP@10, CMC@1 and the rates of the decisions; the arguments are the answer and truth.csv."""
    answer, truth = map(Path, sys.argv[2:])
    vehicles: dict[tuple[str, int], str] = {}
    with truth.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            vehicles[row["table"], int(row["row"])] = row["vehicle_id"]
    matches: dict[str, int] = defaultdict(int)
    for (table, _), vehicle_id in vehicles.items():
        matches[vehicle_id] += table == "gallery"
    lists: dict[int, list[bool]] = defaultdict(list)
    with (answer / "submission.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            lists[int(row["query"])].append(
                vehicles["query", int(row["query"])] == vehicles["gallery", int(row["candidate"])]
            )
    precisions, first = [], []
    for query, hits in lists.items():
        present = matches[vehicles["query", query]]
        if present:
            ranks = np.flatnonzero(hits) + 1
            precisions.append(float((np.arange(1, len(ranks) + 1) / ranks).sum()) / min(present, len(hits)))
            first.append(hits[0])
    accepted = right = refused = absent = 0
    with (answer / "candidates.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            own, is_absent = vehicles["query", int(row["query"])], not matches[vehicles["query", int(row["query"])]]
            accepted += row["candidate"] != ""
            right += row["candidate"] != "" and vehicles["gallery", int(row["candidate"])] == own
            absent += is_absent
            refused += is_absent and row["candidate"] == ""
    precision, recall = right / max(1, accepted), right / max(1, len(precisions))
    rates = {
        "mAP@10": float(np.mean(precisions)),
        "CMC@1": float(np.mean(first)),
        "precision": precision,
        "recall": recall,
        "F1": 2 * precision * recall / max(1e-9, precision + recall),
        "TNR": refused / max(1, absent),
    }
    print(f"{len(precisions)} queries with a match, {absent} without")
    print(", ".join(f"{name} {100 * rate:.1f}" for name, rate in rates.items()))


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "--score":
        score()
    elif len(sys.argv) == 3:
        main()
    else:
        raise SystemExit(__doc__)
