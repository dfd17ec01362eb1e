"""A contact sheet of a written data set: look-alike vehicles below each other, a camera a column, parts boxed."""

import csv
from collections import defaultdict
from colorsys import hsv_to_rgb
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from data_cache.attributes import PART_NAMES
from data_cache.errors import UserError
from data_cache.files import read_json, replacing
from data_cache.images import load_image

CELL = (300, 250)  # pixels
MARGIN = (120, 26)  # for the names of rows and columns
HUES = [tuple(round(255 * channel) for channel in hsv_to_rgb(7 * i % 16 / 16, 0.75, 1.0)) for i in range(16)]

Row = dict[str, str]
Boxes = dict[str, list[tuple[int, list[float]]]]


def write_preview(root: Path, target: Path, *, fleets: int = 2, split: str = "train") -> Path:
    """Write a PNG of the first `fleets` fleets of a split (train or test) with the boxes in every other picture.

    Rows are vehicles, columns cameras. Raises UserError where `root` holds no finished synthetic data set.
    """
    rows = _table(root)
    boxes = _boxes(root / f"parts_{split}.json")
    chosen = [row for row in rows if row["name"] in boxes]
    numbers = list(dict.fromkeys(row["fleet"] for row in chosen))[:fleets]
    chosen = [row for row in chosen if row["fleet"] in numbers]
    vehicles = list(dict.fromkeys(row["vehicle_id"] for row in chosen))
    cameras = sorted({int(row["camera_id"]) for row in chosen})
    sheet = Image.new("RGB", (MARGIN[0] + CELL[0] * len(cameras), MARGIN[1] + CELL[1] * len(vehicles)), (24, 24, 26))
    draw = ImageDraw.Draw(sheet)
    for place, camera in enumerate(cameras):
        draw.text((MARGIN[0] + CELL[0] * (place + 0.5), 5), f"camera {camera}", font=_font(15), anchor="ma")
    for line, vehicle in enumerate(vehicles):
        mine = [row for row in chosen if row["vehicle_id"] == vehicle]
        top = MARGIN[1] + CELL[1] * line
        title = f"vehicle {vehicle}\nfleet {mine[0]['fleet']}\n{mine[0]['body']}\n{mine[0]['colour']}"
        draw.multiline_text((8, top + 20), title, font=_font(15))
        for place, camera in enumerate(cameras):
            row = next((row for row in mine if int(row["camera_id"]) == camera), None)
            if row is not None:
                cell = _cell(root, row["name"], boxes[row["name"]] if (line + place) % 2 == 0 else [])
                sheet.paste(cell, (MARGIN[0] + CELL[0] * place, top))
    with replacing(target) as temporary:
        sheet.save(temporary, "PNG")
    return target


def _table(root: Path) -> list[Row]:
    if not (root / "synthetic.json").exists():
        raise UserError(f"{root}: no finished synthetic data set; make it with `python cli.py synth`")
    with (root / "images.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _boxes(path: Path) -> Boxes:
    """Return (label, [x, y, width, height]) of every picture by its name."""
    content = read_json(path)
    names = {image["id"]: image["file_name"] for image in content["images"]}
    found: Boxes = defaultdict(list, {name: [] for name in names.values()})
    for annotation in content["annotations"]:
        found[names[annotation["image_id"]]].append((annotation["category_id"] - 1, annotation["bbox"]))
    return dict(found)


def _cell(root: Path, name: str, boxes: list[tuple[int, list[float]]]) -> Image.Image:
    """Return one picture enlarged to a cell, its boxes drawn and named."""
    picture = Image.fromarray(load_image(root / name))
    scale = min((CELL[0] - 4) / picture.width, (CELL[1] - 4) / picture.height)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    font = _font(10)
    for label, (x, y, width, height) in boxes:
        draw.rectangle((x * scale, y * scale, (x + width) * scale - 1, (y + height) * scale - 1), outline=HUES[label])
    for label, (x, y, _, _) in boxes:
        corner = (max(0.0, x * scale), max(0.0, y * scale - 11))
        draw.rectangle(draw.textbbox(corner, PART_NAMES[label], font=font), fill=(0, 0, 0))
        draw.text(corner, PART_NAMES[label], fill=HUES[label], font=font)
    return picture


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
