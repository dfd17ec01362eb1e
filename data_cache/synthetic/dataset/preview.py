"""A contact sheet of a written data set: look-alike vehicles below each other, a camera a column, parts boxed."""

import csv
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageDraw

from data_cache.base.errors import UserError
from data_cache.base.files import read_json
from data_cache.datasets.lists import list_text
from data_cache.images.contact_sheet import LINE_HEIGHT, draw_legend, draw_picture, save_png
from data_cache.images.drawing import DARK, Mark, font, part_colour
from data_cache.images.loading import load_image
from data_cache.parts.names import PART_NAMES

PICTURE = (296, 246)  # pixels
CELL = (300, 250)
MARGIN = (120, 26)  # for the names of rows and columns
LEGEND_WIDTH = 160
TEXT_SIZE = 15
LEGEND = tuple(
    Mark((0, 0, 0, 0), part_colour(label), key=str(label + 1), text=name) for label, name in enumerate(PART_NAMES)
)

Row = dict[str, str]
Marks = dict[str, list[Mark]]


def write_preview(root: Path, target: Path, *, fleets: int = 2, split: str = "train") -> Path:
    """Write a PNG of the first `fleets` fleets of a split (train or test) with the boxes in every other picture.

    Rows are vehicles, columns cameras; a legend tells the number of every part. Raises UserError where `root` holds no
    finished synthetic data set.
    """
    rows = _table(root)
    marks = _marks(root / f"parts_{split}.json")
    chosen = [row for row in rows if row["name"] in marks]
    numbers = list(dict.fromkeys(row["fleet"] for row in chosen))[:fleets]
    chosen = [row for row in chosen if row["fleet"] in numbers]
    vehicles = list(dict.fromkeys(row["vehicle_id"] for row in chosen))
    cameras = sorted({int(row["camera_id"]) for row in chosen})
    right = MARGIN[0] + CELL[0] * len(cameras)
    height = MARGIN[1] + max(CELL[1] * len(vehicles), LINE_HEIGHT * len(LEGEND))
    sheet = Image.new("RGB", (right + LEGEND_WIDTH, height), DARK)
    draw_legend(sheet, (right, MARGIN[1]), LEGEND)
    draw = ImageDraw.Draw(sheet)
    for place, camera in enumerate(cameras):
        draw.text((MARGIN[0] + CELL[0] * (place + 0.5), 5), f"camera {camera}", font=font(TEXT_SIZE), anchor="ma")
    for line, vehicle in enumerate(vehicles):
        mine = [row for row in chosen if row["vehicle_id"] == vehicle]
        top = MARGIN[1] + CELL[1] * line
        title = f"vehicle {vehicle}\nfleet {mine[0]['fleet']}\n{mine[0]['body']}\n{mine[0]['colour']}"
        draw.multiline_text((8, top + 20), title, font=font(TEXT_SIZE))
        for place, camera in enumerate(cameras):
            row = next((row for row in mine if int(row["camera_id"]) == camera), None)
            if row is not None:
                shown = tuple(marks[row["name"]]) if (line + place) % 2 == 0 else ()
                picture = draw_picture(load_image(root / row["name"]), shown, PICTURE)
                sheet.paste(picture, (MARGIN[0] + CELL[0] * place, top))
    save_png(sheet, target)
    return target


def _table(root: Path) -> list[Row]:
    if not (root / "synthetic.json").exists():
        raise UserError(f"{root}: no finished synthetic data set; make it with `python cli.py synth`")
    return list(csv.DictReader(list_text(root / "images.csv").splitlines()))


def _marks(path: Path) -> Marks:
    """Return the parts of every picture by its name, each with the number of its part."""
    content = read_json(path)
    names = {image["id"]: image["file_name"] for image in content["images"]}
    found: Marks = defaultdict(list, {name: [] for name in names.values()})
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        mark = replace(LEGEND[annotation["category_id"] - 1], box=(x, y, x + width, y + height))
        found[names[annotation["image_id"]]].append(mark)
    return dict(found)
