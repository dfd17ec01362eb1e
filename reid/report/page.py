"""The report: one self-contained HTML page that opens without a server."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_cache.base.files import read_json_lines, write_atomically
from data_cache.base.options import Options
from reid.evaluation.metrics_file import EXTERNAL
from reid.evaluation.score_table import HEADINGS, describe_counts, percent
from reid.report.comparisons import compared_runs
from reid.report.curves import (
    compared_loss_curve,
    compared_validation_curve,
    loss_curve,
    threshold_curve,
    validation_curve,
)
from reid.report.decisions import CONVENTIONS, Decision, Decisions, find_decisions
from reid.report.errors import Firsts, find_errors, margin_by_part
from reid.report.evaluated_run import EvaluatedRun
from reid.report.html import TEMPLATES, PageImage, full_rows, page_image, render_page
from reid.report.other_results import AblationTable, detector_summary, read_ablation_tables
from reid.report.part_statistics import part_statistics, parts_by_camera
from reid.report.pictures.covering import GRID
from reid.report.pictures.thumbnails import image_thumbnail, weighted_boxes
from reid.report.query_images import ExplainedQuery, describe_parts, explain_queries, part_effects
from reid.report.run_commands import reproduction_commands
from reid.retrieval.ranked_lists import Choice, RankedImage, RankedList, ranked_lists
from reid.retrieval.scoring import camera_gap

TEMPLATE = TEMPLATES / "report.html.jinja"
ROW_NAMES = {
    "trained": "trained",
    "untrained": "before training",
    "trunk": "backbone alone, before training",
    EXTERNAL: "given features",
}
THUMBNAIL_HEIGHT = 240  # pixels; shown smaller, which stays sharp on high-resolution screens
STRONGEST_PARTS = 3


@dataclass(frozen=True)
class PageList:
    """A ranked list on the page, in rows of `columns` images.

    An image comes with lines that say what its score is the sum of, none for most networks. `parts` are the query's
    parts with the most attention and their weights.
    """

    ranked: RankedList
    query: PageImage
    images: tuple[tuple[RankedImage, PageImage, list[str]], ...]
    parts: tuple[tuple[str, float], ...]

    @property
    def columns(self) -> int:
        """Images side by side on a wide screen: the last row is full, or as full as it gets."""
        return full_rows(len(self.images))


@dataclass(frozen=True)
class PageCovering:
    """What covering regions of a query does to its score: pictures, and the effects of its parts by run."""

    ranked: RankedList
    heading: str
    images: tuple[PageImage, ...]
    parts: tuple[tuple[str, list[tuple[str, float]]], ...]

    @property
    def columns(self) -> int:
        """Images side by side on a wide screen."""
        return full_rows(len(self.images))


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
    explained: int = 0,
    device: str = "cpu",
    shown: Options | None = None,
) -> Path:
    """Write the page of a run to `target` and return it; `others` are compared by score, curves and covered regions.

    `heatmaps` is the number of queries of which regions are covered, `explained` that of queries of which parts are
    covered to see what tells vehicles apart. `shown` is for `reproduction_commands`.

    `detector_folder` is a detector run or holds several, of which the one that made the part cache is shown;
    `ablation_folder` holds the tables of `ablate`. Raises UserError if an image cannot be shown.
    """
    metrics = run.metrics
    lists = _ranked_lists(run, queries, top_k)
    firsts = Firsts(run)
    decisions = find_decisions(run, firsts.positives)
    errors = find_errors(firsts, decisions)
    tables: list[AblationTable] = []
    if ablation_folder is not None:
        paper = None if metrics.get("rendered", False) else metrics["dataset"]
        tables = read_ablation_tables(ablation_folder, metrics["split"], list(run.dataset.splits), dataset=paper)
    page = render_page(
        TEMPLATE,
        run=run,
        metrics=metrics,
        headings=HEADINGS,
        scores=[row for one in (run, *others) for row in _score_rows(one, with_run_name=bool(others))],
        comparisons=compared_runs(run, others),
        counts=list(dict.fromkeys(describe_counts(scores) for scores in metrics["scores"].values())),
        camera_gap=camera_gap(metrics["scores"]),
        decisions=decisions,
        conventions=CONVENTIONS,
        decision_curve=decisions and threshold_curve(decisions.curve, decisions.scores["threshold"]),
        wrong_decisions=_wrong_decisions(run, decisions),
        errors=errors,
        wrong_matches=[(one, _pictures(run, one.query, one.first, one.match)) for one in errors.examples],
        margins=margin_by_part(firsts, explained, device=device) if explained else [],
        explained=explained,
        detector=detector_summary(detector_folder, run.parts),
        curves=_curves(run, others),
        compared=bool(others),
        tables=tables,
        parts=part_statistics(run.parts, run.features),
        cameras=parts_by_camera(run.parts, run.features, run.dataset),
        lists=[_page_list(run, ranked) for ranked in lists],
        list_cameras=sorted({ranked.camera for ranked in lists if ranked.camera >= 0}),
        groups=list(dict.fromkeys(ranked.group for ranked in lists)),
        coverings=_page_coverings([run, *others], heatmaps, device) if heatmaps else [],
        grid=GRID,
        top_k=top_k,
        commands=reproduction_commands(run, others, shown or {}),
        recipe=json.dumps(metrics.get("recipe", {}), indent=2, ensure_ascii=False),
        part_cache=json.dumps(run.parts.fingerprint, indent=2, ensure_ascii=False),
    )
    write_atomically(target, page.encode())
    return target


def _ranked_lists(run: EvaluatedRun, count: int, top_k: int) -> list[RankedList]:
    return ranked_lists(run.features, run.dataset, run.protocol(), Choice(count), top_k=top_k)


def _score_rows(run: EvaluatedRun, *, with_run_name: bool) -> list[dict[str, Any]]:
    prefix = f"{run.name}: " if with_run_name else ""
    return [
        {"name": prefix + ROW_NAMES.get(name, name), "cells": [percent(scores, metric) for metric in HEADINGS]}
        for name, scores in run.metrics["scores"].items()
    ]


def _curves(run: EvaluatedRun, others: Sequence[EvaluatedRun]) -> dict[str, str | None]:
    """Return the charts of a run, or of all compared runs together, as SVG."""
    logs = [(one.name, read_json_lines(one.folder / "log.jsonl")) for one in (run, *others)]
    if not others:
        return {"loss": loss_curve(logs[0][1]), "validation": validation_curve(logs[0][1])}
    return {"loss": compared_loss_curve(logs), "validation": compared_validation_curve(logs)}


def _wrong_decisions(
    run: EvaluatedRun, decisions: Decisions | None
) -> list[tuple[str, list[tuple[Decision, tuple[PageImage, ...]]]]]:
    """Return the wrong decisions of either kind below its heading, each with the pictures of query and match."""
    if decisions is None:
        return []
    kinds = {
        "Accepted, but wrong: the most confident": decisions.false_accepts,
        "Refused, but right: the least confident": decisions.false_refusals,
    }
    return [
        (heading, [(one, _pictures(run, one.query, one.match)) for one in found]) for heading, found in kinds.items()
    ]


def _pictures(run: EvaluatedRun, *names: str) -> tuple[PageImage, ...]:
    return tuple(page_image(image_thumbnail(run, name, None, height=THUMBNAIL_HEIGHT)) for name in names)


def _page_list(run: EvaluatedRun, ranked: RankedList) -> PageList:
    query = image_thumbnail(run, ranked.query, None, height=THUMBNAIL_HEIGHT, show_weights=True)
    images = []
    for image in ranked.images:
        picture = page_image(image_thumbnail(run, image.name, None, height=THUMBNAIL_HEIGHT))
        images.append((image, picture, describe_parts(run.score_by_part(ranked.query, image.name))))
    strongest = weighted_boxes(run, ranked.query).strongest(STRONGEST_PARTS)
    return PageList(ranked, page_image(query), tuple(images), tuple(strongest))


def _page_coverings(runs: Sequence[EvaluatedRun], count: int, device: str) -> list[PageCovering]:
    """Return queries with what covering regions does to their scores; none if no run has a network."""
    if not any(run.has_network for run in runs):
        return []
    lists = _ranked_lists(runs[0], count, top_k=1)
    explained = explain_queries(runs, lists, device=device)
    return [_page_covering(runs, *pair) for pair in zip(lists, explained, strict=True)]


def _page_covering(runs: Sequence[EvaluatedRun], ranked: RankedList, explained: ExplainedQuery) -> PageCovering:
    panels = explained.panels(runs, height=THUMBNAIL_HEIGHT, framed=False)
    images = tuple(page_image(image, caption) for caption, image in panels)
    parts = [
        (run.name, part_effects(run, explained.query, covering))
        for run, covering in zip(runs, explained.coverings, strict=True)
        if covering is not None
    ]
    return PageCovering(ranked, explained.heading, images, tuple((name, effects) for name, effects in parts if effects))
