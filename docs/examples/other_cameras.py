"""Photographs of a test as four other cameras might take them, to see what a network trained on two cameras is worth.

The two cameras of the Vehicle-Re-ID-Dataset see nearly the same view, in training and in its test, so a test by other
cameras is missing. This one is artificial: four cameras that each turn, shear, stretch and tilt the picture, change
light and colour, blur, and resolve less, more than training with augment=strong does. The queries go through two of
them, the gallery through the other two. Reads the CSV of a data set, writes the images below OUT and their CSV.

    python docs/examples/other_cameras.py data/photographs.csv PHOTOS data/other_cameras
    python cli.py evaluate --dataset data/other_cameras.csv --data-root data/other_cameras --trained-on photographs \\
        --run baseline_small
"""

import csv
import itertools
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

SEED = 5
SPLITS = ("query", "gallery")


def cameras(count: int) -> list[dict[str, object]]:
    """Return cameras: a homography of the unit square around its middle, light by channel, blur and resolution."""
    random, found = np.random.default_rng(SEED), []
    for _ in range(count):
        turn = np.radians(random.uniform(-9, 9))
        turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        stretch = random.uniform(0.8, 1.25)
        view = np.eye(3)
        view[:2, :2] = (
            random.uniform(0.8, 1.15) * turned @ np.array([[stretch, random.uniform(-0.15, 0.15)], [0, 1 / stretch]])
        )
        view[:2, 2] = random.uniform(-0.08, 0.08, 2)
        view[2, :2] = random.uniform(-0.2, 0.2, 2)
        found.append(
            {
                "view": view,
                "gain": random.uniform(0.65, 1.4) * random.uniform(0.88, 1.12, 3),
                "gamma": random.uniform(0.6, 1.6),
                "blur": random.uniform(0, 0.008),
                "side": int(random.uniform(40, 110)),
            }
        )
    return found


def photograph(
    picture: Image.Image, view: np.ndarray, gain: np.ndarray, gamma: float, blur: float, side: int
) -> Image.Image:
    """Return the picture as this camera sees it, with its longer side at most `side` pixels long."""
    to_square = np.diag([1 / picture.width, 1 / picture.height, 1.0])
    middle = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
    moved = np.linalg.inv(to_square) @ np.linalg.inv(middle) @ view @ middle @ to_square
    inverse = np.linalg.inv(moved)
    picture = picture.transform(
        picture.size,
        Image.Transform.PERSPECTIVE,
        (inverse / inverse[2, 2]).ravel()[:8].tolist(),
        Image.Resampling.BILINEAR,
        fillcolor=(90, 90, 90),
    )
    picture = picture.filter(ImageFilter.GaussianBlur(blur * max(picture.size)))
    picture.thumbnail((side, side), Image.Resampling.BILINEAR)
    light = ((np.asarray(picture) / 255 * gain).clip(0, 1) ** gamma * 255).astype(np.uint8)
    return Image.fromarray(light)


def main() -> None:
    """Write the images and the CSV; the arguments are the CSV, its --data-root, and the folder to write."""
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    table, root, target = map(Path, sys.argv[1:])
    with table.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] in SPLITS]
    known = cameras(4)
    turns = {split: itertools.cycle([2 * number, 2 * number + 1]) for number, split in enumerate(SPLITS)}
    for row in rows:
        row["camera_id"] = str(next(turns[row["split"]]) + 1)
        name = Path(row["name"])
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(root / name) as picture:
            photograph(picture.convert("RGB"), **known[int(row["camera_id"]) - 1]).save(path, quality=90)
    with target.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
