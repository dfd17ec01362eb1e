"""The pictures of the report as data URIs: tiles of ranked lists, heatmaps of queries, charts of the ablation."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from reid.report.ablation_tables import AblationTable
from reid.report.evaluated_run import ShownRun
from reid.report.heatmap_pictures import columns_of, glances
from reid.report.heatmaps import Column
from reid.report.tiles import encode, tiles_of, weighed_boxes
from reid.retrieval.ranked_lists import RankedImage, RankedList

TILE_HEIGHT = 180  # pixels; the page shows a tile smaller, which a fine screen has use for
TOLD_PARTS = 3


@dataclass(frozen=True)
class Shown:
    """A picture on the page: its data URI, its size in pixels, and what it shows."""

    source: str
    width: int
    height: int
    text: str = ""


@dataclass(frozen=True)
class ShownList:
    """A ranked list on the page; `parts` are the query's parts of the most attention with their weights."""

    about: RankedList
    query: Shown
    ranked: tuple[tuple[RankedImage, Shown], ...]
    parts: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class ShownHeat:
    """A query on the page with its heatmaps, in groups of pictures that belong together."""

    about: RankedList
    groups: tuple[tuple[Shown, ...], ...]


def shown_list(found: RankedList, run: ShownRun) -> ShownList:
    """Return a list with its tiles. Raises UserError naming the image that cannot be shown."""
    query, *others = (_jpeg(tile) for tile in tiles_of(found, run.dataset, run.parts, run.features, height=TILE_HEIGHT))
    strongest = weighed_boxes(run.parts, run.features, found.query).strongest(TOLD_PARTS)
    return ShownList(found, query, tuple(zip(found.images, others, strict=True)), tuple(strongest))


def shown_heat(lists: Sequence[RankedList], runs: Sequence[ShownRun], *, device: str) -> list[ShownHeat]:
    """Return the queries of lists with the heatmaps of each run. Raises UserError as `ShownRun.heat`."""
    seen = glances(runs, [found.query for found in lists], device=device)
    return [ShownHeat(found, _groups(columns_of(found.query, seen, height=TILE_HEIGHT))) for found in lists]


def _groups(columns: Sequence[Sequence[Column]]) -> tuple[tuple[Shown, ...], ...]:
    return tuple(tuple(_jpeg(tile, text) for text, tile in group) for group in columns)


def shown_chart(table: AblationTable) -> str | None:
    """Return the data URI of a table's picture, None where it has none."""
    return None if table.picture is None else data_uri(table.picture, "image/png")


def _jpeg(picture: Image.Image, text: str = "") -> Shown:
    return Shown(data_uri(encode(picture, "JPEG"), "image/jpeg"), picture.width, picture.height, text)


def data_uri(data: bytes, kind: str) -> str:
    """Return bytes of a kind, image/png or the like, as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
