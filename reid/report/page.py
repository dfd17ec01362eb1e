"""The report: one self-contained HTML page that opens without a server."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from data_cache.base.files import read_json_lines, write_atomically
from data_cache.images.drawing import escape_invisible
from reid.evaluation.score_table import HEADINGS, describe_counts, percent
from reid.report.curves import loss_curve, validation_curve
from reid.report.evaluated_run import EvaluatedRun
from reid.report.other_results import AblationTable, detector_summary, read_ablation_tables
from reid.report.part_statistics import part_statistics, parts_by_camera
from reid.report.query_images import heatmap_panels
from reid.report.run_commands import reproduction_commands
from reid.report.thumbnails import encode_jpeg, list_thumbnails, weighted_boxes
from reid.retrieval.ranked_lists import Choice, RankedImage, RankedList, ranked_lists

TEMPLATE = Path(__file__).with_name("templates") / "report.html.jinja"
ROW_NAMES = {
    "trained": "trained",
    "untrained": "before training",
    "trunk": "backbone alone, before training",
}
THUMBNAIL_HEIGHT = 180  # pixels; shown smaller, which stays sharp on high-resolution screens
STRONGEST_PARTS = 3


@dataclass(frozen=True)
class PageImage:
    """An image on the page: data URI, size in pixels, and caption."""

    source: str
    width: int
    height: int
    text: str = ""


@dataclass(frozen=True)
class PageList:
    """A ranked list on the page; `parts` are the query's parts with the most attention and their weights."""

    ranked: RankedList
    query: PageImage
    images: tuple[tuple[RankedImage, PageImage], ...]
    parts: tuple[tuple[str, float], ...]


def write_report(
    run: EvaluatedRun,
    others: Sequence[EvaluatedRun] = (),
    *,
    target: Path,
    detector_folder: Path | None = None,
    ablation_folder: Path | None = None,
    queries: int = 12,
    top_k: int = 8,
    heatmaps: int = 0,
    device: str = "cpu",
) -> Path:
    """Write the page of a run to `target` and return it; `others` are compared by score and heatmaps.

    `detector_folder` is a detector run or holds several, of which the one that made the part cache is shown;
    `ablation_folder` holds the tables of `ablate`. Raises UserError if an image cannot be shown.
    """
    metrics = run.metrics
    lists = _ranked_lists(run, queries, top_k)
    log = read_json_lines(run.folder / "log.jsonl")
    tables: list[AblationTable] = []
    if ablation_folder is not None:
        tables = read_ablation_tables(ablation_folder, metrics["split"], list(run.dataset.splits))
    page = render_page(
        TEMPLATE,
        run=run,
        metrics=metrics,
        headings=HEADINGS,
        scores=[row for one in (run, *others) for row in _score_rows(one, with_run_name=bool(others))],
        counts=list(dict.fromkeys(describe_counts(scores) for scores in metrics["scores"].values())),
        detector=detector_summary(detector_folder, run.parts),
        curves={"loss": loss_curve(log), "validation": validation_curve(log)},
        tables=[(table, None if table.chart is None else _data_uri(table.chart, "image/png")) for table in tables],
        parts=part_statistics(run.parts, run.features),
        cameras=parts_by_camera(run.parts, run.features, run.dataset),
        lists=[_page_list(run, ranked) for ranked in lists],
        list_cameras=sorted({ranked.camera for ranked in lists if ranked.camera >= 0}),
        groups=list(dict.fromkeys(ranked.group for ranked in lists)),
        heatmaps=_page_heatmaps([run, *others], heatmaps, device) if heatmaps else [],
        top_k=top_k,
        commands=reproduction_commands(run, others),
        recipe=json.dumps(metrics.get("recipe", {}), indent=2, ensure_ascii=False),
        part_cache=json.dumps(run.parts.fingerprint, indent=2, ensure_ascii=False),
    )
    write_atomically(target, page.encode())
    return target


def render_page(template: Path, **content: Any) -> str:
    """Return the rendered page of a template, which may include others from its folder.

    Everything is escaped unless the template marks it safe: file names and ids come from data sets.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_escape_untrusted,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(**content)


def _escape_untrusted(value: Any) -> Any:
    """Return a plain string with invisible characters escaped; Markup, marked safe, is a subclass and stays."""
    return escape_invisible(value) if type(value) is str else value


def _ranked_lists(run: EvaluatedRun, count: int, top_k: int) -> list[RankedList]:
    return ranked_lists(run.features, run.dataset, run.protocol(), Choice(count), top_k=top_k)


def _score_rows(run: EvaluatedRun, *, with_run_name: bool) -> list[dict[str, Any]]:
    prefix = f"{run.name}: " if with_run_name else ""
    return [
        {"name": prefix + ROW_NAMES.get(name, name), "cells": [percent(scores, metric) for metric in HEADINGS]}
        for name, scores in run.metrics["scores"].items()
    ]


def _page_list(run: EvaluatedRun, ranked: RankedList) -> PageList:
    query, *images = (_page_image(image) for image in list_thumbnails(run, ranked, height=THUMBNAIL_HEIGHT))
    strongest = weighted_boxes(run, ranked.query).strongest(STRONGEST_PARTS)
    return PageList(ranked, query, tuple(zip(ranked.images, images, strict=True)), tuple(strongest))


def _page_heatmaps(
    runs: Sequence[EvaluatedRun], count: int, device: str
) -> list[tuple[RankedList, list[list[PageImage]]]]:
    """Return queries with groups of images: photographs first, then the heatmaps of each run."""
    lists = _ranked_lists(runs[0], count, top_k=1)
    heatmaps = [run.heatmaps([ranked.query for ranked in lists], device=device) for run in runs]
    return [
        (ranked, [[_page_image(image, caption) for caption, image in group] for group in groups])
        for ranked in lists
        for groups in [heatmap_panels(ranked.query, runs, heatmaps, height=THUMBNAIL_HEIGHT)]
    ]


def _page_image(image: Image.Image, text: str = "") -> PageImage:
    return PageImage(_data_uri(encode_jpeg(image), "image/jpeg"), image.width, image.height, text)


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
