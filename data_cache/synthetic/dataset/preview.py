"""A contact sheet of a rendered data set: one row per vehicle, one column per camera, with part boxes."""

from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageDraw

from data_cache.base.errors import UserError
from data_cache.base.files import read_json
from data_cache.base.options import remedy_command
from data_cache.datasets.csv_file import is_rendered, read_csv
from data_cache.images.contact_sheet import LINE_HEIGHT, draw_legend, draw_picture, save_png
from data_cache.images.drawing import DARK, Mark, font, part_colour
from data_cache.images.loading import load_image
from data_cache.parts.names import PART_NAMES

FLEETS, VEHICLES = 2, 6  # fleets that are shown, or more if they have fewer vehicles
PICTURE = (296, 246)  # pixels
CELL = (300, 250)
MARGIN = (120, 26)  # for the captions of rows and columns
LEGEND_WIDTH = 160
TEXT_SIZE = 15
LEGEND = tuple(
    Mark((0, 0, 0, 0), part_colour(label), key=str(label + 1), text=name) for label, name in enumerate(PART_NAMES)
)


def write_preview(root: Path, target: Path) -> Path:
    """Write a PNG of the first training fleets, with part boxes in every other picture, and return `target`.

    Raises UserError if `root` is not a finished synthetic data set.
    """
    if not is_rendered(root):
        raise UserError(f"{root}: not a finished synthetic data set; create it with {remedy_command('synth')}")
    marks = _read_marks(root / "parts_train.json")
    table = read_csv(root / "images.csv")
    table = table[table["split"] == "train"]
    count = table.drop_duplicates("vehicle_id")["fleet"].iloc[:VEHICLES].nunique()
    table = table[table["fleet"].isin(table["fleet"].unique()[: max(FLEETS, count)])]
    cameras = sorted(table["camera_id"].unique())
    right = MARGIN[0] + CELL[0] * len(cameras)
    height = MARGIN[1] + max(CELL[1] * table["vehicle_id"].nunique(), LINE_HEIGHT * len(LEGEND))
    sheet = Image.new("RGB", (right + LEGEND_WIDTH, height), DARK)
    draw_legend(sheet, (right, MARGIN[1]), LEGEND)
    draw = ImageDraw.Draw(sheet)
    for column, camera in enumerate(cameras):
        draw.text((MARGIN[0] + CELL[0] * (column + 0.5), 5), f"camera {camera}", font=font(TEXT_SIZE), anchor="ma")
    for line, (vehicle, own) in enumerate(table.groupby("vehicle_id", sort=False)):
        top = MARGIN[1] + CELL[1] * line
        first = own.iloc[0]
        caption = f"vehicle {vehicle}\nfleet {first['fleet']}\n{first['body']}\n{first['colour']}"
        draw.multiline_text((8, top + 20), caption, font=font(TEXT_SIZE))
        for name, camera in own.drop_duplicates("camera_id")[["name", "camera_id"]].itertuples(index=False):
            column = cameras.index(camera)
            shown = marks[name] if (line + column) % 2 == 0 else []
            picture = draw_picture(load_image(root / name), shown, PICTURE)
            sheet.paste(picture, (MARGIN[0] + CELL[0] * column, top))
    save_png(sheet, target)
    return target


def _read_marks(path: Path) -> dict[str, list[Mark]]:
    """Return the numbered part boxes by image name."""
    content = read_json(path)
    names = {image["id"]: image["file_name"] for image in content["images"]}
    marks: dict[str, list[Mark]] = {name: [] for name in names.values()}
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        mark = replace(LEGEND[annotation["category_id"] - 1], box=(x, y, x + width, y + height))
        marks[names[annotation["image_id"]]].append(mark)
    return marks
