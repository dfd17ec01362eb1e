"""The report: one HTML page that holds everything it shows, and opens anywhere without a server."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_cache.base.files import write_atomically
from data_cache.images.drawing import visible
from reid.evaluation.score_table import HEADINGS, counted, percent
from reid.report.ablation_tables import AblationTable, read_ablation_tables
from reid.report.curves import loss_curve, read_log, validation_curve
from reid.report.detector import detector_summary
from reid.report.evaluated_run import ShownRun
from reid.report.pictures import shown_chart, shown_heat, shown_list
from reid.report.run_commands import commands_of
from reid.report.statistics import part_statistics, parts_by_camera
from reid.retrieval.ranked_lists import Choice, RankedList, ranked_lists

TEMPLATE = Path(__file__).with_name("templates") / "report.html.jinja"
ROWS = {"trained": "trained", "untrained": "the network before training", "trunk": "its trunk alone, before training"}


def render_page(template: Path, **content: Any) -> str:
    """Return the page of a template, which may include others of its folder.

    File names and ids come from data sets: everything is escaped unless it is marked safe in the template.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_readable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(**content)


def _readable(value: Any) -> Any:
    """Return a text without characters that a reader cannot see; what is marked safe is ours, and stays."""
    return visible(value) if type(value) is str else value


def write_report(
    run: ShownRun,
    others: Sequence[ShownRun] = (),
    *,
    target: Path,
    detector_folder: Path | None = None,
    ablation_folder: Path | None = None,
    queries: int = 12,
    top_k: int = 8,
    heatmaps: int = 0,
    device: str = "cpu",
) -> Path:
    """Write the page of a run to `target` and return it; `others` are compared with it, by score and by heatmap.

    `detector_folder` is the folder of a detector, or one of several, of which the one that made the part cache is
    taken; `ablation_folder` that of the tables of `ablate`. Raises UserError where an image cannot be shown.
    """
    lists = _lists(run, queries, top_k)
    heat = shown_heat(_lists(run, heatmaps, 1), [run, *others], device=device) if heatmaps else []
    tables = _tables(run, ablation_folder)
    page = render_page(
        TEMPLATE,
        run=run,
        metrics=run.metrics,
        figures=HEADINGS,
        scores=[row for one in (run, *others) for row in _score_rows(one, named=bool(others))],
        counts=list(dict.fromkeys(counted(scores) for scores in run.metrics["scores"].values())),
        detector=detector_summary(detector_folder, run.parts),
        curves=_curves(run.folder),
        tables=[(table, shown_chart(table)) for table in tables],
        parts=part_statistics(run.parts, run.features),
        cameras=parts_by_camera(run.parts, run.features, run.dataset),
        lists=[shown_list(found, run) for found in lists],
        list_cameras=sorted({found.camera for found in lists if found.camera >= 0}),
        groups=list(dict.fromkeys(found.group for found in lists)),
        heat=heat,
        top_k=top_k,
        commands=commands_of(run, others),
        recipe=json.dumps(run.metrics.get("recipe", {}), indent=2, ensure_ascii=False),
        part_cache=json.dumps(run.parts.fingerprint, indent=2, ensure_ascii=False),
    )
    write_atomically(target, page.encode())
    return target


def _lists(run: ShownRun, count: int, top_k: int) -> list[RankedList]:
    return ranked_lists(run.features, run.dataset, run.protocol(), Choice(count), top_k=top_k)


def _tables(run: ShownRun, folder: Path | None) -> list[AblationTable]:
    return [] if folder is None else read_ablation_tables(folder, run.metrics["split"], list(run.dataset.splits))


def _score_rows(run: ShownRun, *, named: bool) -> list[dict[str, Any]]:
    prefix = f"{run.name}: " if named else ""
    return [
        {"name": prefix + ROWS.get(name, name), "cells": [percent(scores, figure) for figure in HEADINGS]}
        for name, scores in run.metrics["scores"].items()
    ]


def _curves(folder: Path) -> dict[str, str | None]:
    log = read_log(folder / "log.jsonl")
    return {"loss": loss_curve(log), "validation": validation_curve(log)}
