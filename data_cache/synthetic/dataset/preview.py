"""A picture of a rendered data set: one row per vehicle, several colours, part names at the boxes."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
from PIL import Image, ImageDraw

from data_cache.base.errors import UserError
from data_cache.base.files import read_json
from data_cache.base.options import remedy_command
from data_cache.datasets.csv_file import is_rendered, read_csv
from data_cache.images.contact_sheet import draw_picture, save_png
from data_cache.images.drawing import DARK, QUIET, Mark, draw_keys, font, part_colour
from data_cache.images.loading import load_image
from data_cache.parts.names import PART_NAMES

VEHICLES, COLUMNS = 5, 4  # 1200 pixels wide, about what a page of documentation shows
PICTURE, GAP, CAPTION = (292, 236), 8, 24  # pixels
TEXT_SIZE, LABEL_SIZE = 15, 11


def write_preview(root: Path, target: Path) -> Path:
    """Write a PNG of training vehicles, part boxes in every other picture, and return `target`.

    The first two rows are of one fleet, the others of fleets in other colours. Raises UserError if `root` is not a
    finished synthetic data set.
    """
    if not is_rendered(root):
        raise UserError(f"{root}: not a finished synthetic data set; create it with {remedy_command('synth')}")
    marks = _read_marks(root / "parts_train.json")
    table = read_csv(root / "images.csv")
    table = table[table["split"] == "train"].drop_duplicates(["vehicle_id", "camera_id"])
    vehicles = _choose_vehicles(table)
    height = GAP + len(vehicles) * (CAPTION + PICTURE[1] + GAP)
    sheet = Image.new("RGB", (GAP + COLUMNS * (PICTURE[0] + GAP), height), DARK)
    draw = ImageDraw.Draw(sheet)
    for row, vehicle in enumerate(vehicles):
        top, own = GAP + row * (CAPTION + PICTURE[1] + GAP), table[table["vehicle_id"] == vehicle]
        first = own.iloc[0]
        caption = f"vehicle {vehicle}: {first['colour']} {first['body']} of fleet {first['fleet']}"
        draw.text((GAP, top + 2), caption, fill=QUIET, font=font(TEXT_SIZE))
        for column, name in enumerate(own["name"].iloc[:COLUMNS]):
            picture = _draw(root / name, marks[name] if (row + column) % 2 else [])
            left = GAP + column * (PICTURE[0] + GAP) + (PICTURE[0] - picture.width) // 2
            sheet.paste(picture, (left, top + CAPTION + (PICTURE[1] - picture.height) // 2))
    save_png(sheet, target)
    return target


def _choose_vehicles(table: pd.DataFrame) -> list[str]:
    """Return vehicles, seen by as many cameras as possible: two of one fleet, then one of each other colour.

    If there are fewer colours than rows, further fleets follow.
    """
    cameras = table.groupby("vehicle_id", sort=False)["camera_id"].transform("nunique").clip(upper=COLUMNS)
    by_cameras = table[cameras == cameras.max()].drop_duplicates("vehicle_id")
    fleets = by_cameras.groupby("fleet", sort=False)["vehicle_id"].apply(list)
    pair: list[str] = next((mates[:2] for mates in fleets if len(mates) > 1), [])
    others = by_cameras[~by_cameras["fleet"].isin(by_cameras[by_cameras["vehicle_id"].isin(pair)]["fleet"])]
    others = others.drop_duplicates("fleet")
    shown = by_cameras[by_cameras["vehicle_id"].isin(pair)]["colour"]
    fresh = others[~others["colour"].isin(shown)].drop_duplicates("colour")
    rest = others[~others["vehicle_id"].isin(fresh["vehicle_id"])]
    return [*pair, *fresh["vehicle_id"], *rest["vehicle_id"]][:VEHICLES]


def _draw(path: Path, marks: list[Mark]) -> Image.Image:
    """Return a picture with its boxes; each name is at one box only, and left out where it would hide another."""
    image = load_image(path)
    picture = draw_picture(image, [replace(mark, key="") for mark in marks], PICTURE)
    first = list({mark.key: mark for mark in reversed(marks)}.values())
    return draw_keys(picture, first[::-1], picture.width / image.shape[1], only_free=True, size=LABEL_SIZE)


def _read_marks(path: Path) -> dict[str, list[Mark]]:
    """Return the part boxes, with the part's name as key, by image name."""
    content = read_json(path)
    names = {image["id"]: image["file_name"] for image in content["images"]}
    marks: dict[str, list[Mark]] = {name: [] for name in names.values()}
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        label = annotation["category_id"] - 1
        mark = Mark((x, y, x + width, y + height), part_colour(label), key=PART_NAMES[label])
        marks[names[annotation["image_id"]]].append(mark)
    return marks
