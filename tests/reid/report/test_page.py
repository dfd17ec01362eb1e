"""The report: a self-contained file that names what is missing and escapes every name."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_cache.base.errors import UserError
from data_cache.base.files import append_json_line
from data_cache.parts.cache import empty_cache
from helpers.browser.html_page import Page
from helpers.toy.evaluated import HOSTILE, make_evaluated_run, ramp_coverings, with_metrics
from reid.report.evaluated_run import EvaluatedRun
from reid.report.page import write_report


@pytest.fixture
def run(tmp_path: Path) -> EvaluatedRun:
    return make_evaluated_run(tmp_path)


def report(run: EvaluatedRun, *others: EvaluatedRun, **options: Any) -> str:
    """Return the HTML of a report with 4 lists of 3 images."""
    options = {"queries": 4, "top_k": 3} | options
    page = write_report(run, others, target=run.test_folder / "report.html", **options)
    return page.read_text(encoding="utf-8")


def test_the_page_is_self_contained(run: EvaluatedRun) -> None:
    run.folder.mkdir()
    append_json_line(run.folder / "log.jsonl", {"epoch": 1, "loss": 1.0, "validation_mAP": 0.3})
    html = report(run)
    page = Page(html)
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#")), (tag, attributes.get(name))
    assert not re.search(r"url\((?!#)|@import", html)
    assert {tag for tag, _ in page.tags} >= {"header", "main", "section", "table", "figure", "figcaption", "article"}
    assert len(page.attributes("script")) == 1


def test_the_page_shows_scores_lists_and_provenance(run: EvaluatedRun) -> None:
    page = Page(report(run))
    for words in (
        f"{100 * run.metrics['scores']['trained']['mAP']:.1f}",
        "5 queries (0 without a match, left out), gallery 10",
        "own camera are left out",
        "before training",
        "SHA-256 c0ffee",
        "best.safetensors, epoch 7",
        "torch 2.14.1",
        "python cli.py evaluate --run pgan_small --dataset folder --data-root ",
        " --untrained --split test",
        "2026-01-02 03:04 UTC",
        "Of 15 images, 15 have parts, 0 have none",
        "wheel",
        "0.800 1.60 100.0",
        "most attention: mirror 80 %, wheel 20 %",
    ):
        assert words in page.text, words
    images = page.attributes("img")
    assert len(images) == 4 * (1 + 3) and all(attributes["alt"] for attributes in images)
    articles = page.attributes("article")
    assert len(articles) == 4 and {attributes["data-first"] for attributes in articles} <= {"right", "wrong"}
    assert [attributes["data-group"] for attributes in articles] == ["worst", "worst", "middle", "best"]
    assert {attributes["data-camera"] for attributes in articles} == {"0"}


def test_names_are_escaped(run: EvaluatedRun) -> None:
    html = report(run, queries=5)
    page = Page(html)
    assert HOSTILE not in html and html.count("<script>") == 1
    assert HOSTILE in page.text  # as text, for the reader
    assert any(attributes.get("title") == "0&<b>_0.png" for attributes in page.attributes("img"))
    assert not page.attributes("b")


def test_invisible_characters_are_escaped(run: EvaluatedRun) -> None:
    html = report(with_metrics(run, device="a\x1b[31m\u202eb\0\ud800", commit=None))
    assert r"a\x1b[31m\u202eb\x00\ud800" in Page(html).text
    assert not re.search("[\x00-\x08\x0e-\x1f\u202e]", html)


def test_the_camera_table_shows_mean_numbers_of_boxes(run: EvaluatedRun) -> None:
    text = Page(report(run)).text
    assert "Parts by camera" in text and "camera 0 1 2 images 5 5 5" in text
    assert "wheel 1.00 1.00 1.00 all parts 2.00 2.00 2.00" in text


def test_the_page_shows_what_covering_does_on_request(run: EvaluatedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "What the score relies on" not in Page(report(run)).text
    monkeypatch.setattr(EvaluatedRun, "coverings", ramp_coverings)
    page = Page(report(run, heatmaps=2))
    assert page.text.count("pgan_small: score 0.750, covering a square changes it by \u22120.200 to +0.100") == 2
    assert page.text.count("covering a part box changes the score by mirror \u22120.020, wheel +0.010") == 2
    assert page.text.count("best true match") == 3  # two captions and the explanation
    assert "Fp" not in page.text and "Fg" not in page.text


def test_compared_runs_share_the_charts(run: EvaluatedRun, tmp_path: Path) -> None:
    other = make_evaluated_run(tmp_path, name="grid_small", noise=3)
    for one, loss in ((run, 1.0), (other, 2.0)):
        one.folder.mkdir()
        append_json_line(one.folder / "log.jsonl", {"epoch": 1, "loss": loss, "validation_mAP": 0.3})
    html = report(run, other)
    assert html.count("<svg") == 2 and "Total loss of each run" in html
    for svg in html.split("<svg")[1:]:
        assert "pgan_small" in svg.partition("</svg>")[0] and "grid_small" in svg.partition("</svg>")[0]


@pytest.mark.parametrize(("score", "warned"), [(0.85, False), (0.6, True)])
def test_counts_are_of_useful_boxes_and_a_low_confidence_is_a_warning(
    run: EvaluatedRun, score: float, warned: bool
) -> None:
    scores = np.tile(np.float32([score, 0.4]), (15, 1))  # wheel, mirror
    text = Page(report(replace(run, parts=replace(run.parts, scores=scores)))).text
    assert "An image has 1.0 parts on average, of at most 2 boxes" in text
    assert "Counted are boxes of confidence 0.5 or more; 80 % of the attention is on others." in text
    assert ("Warning: the best boxes have a median confidence of 0.60" in text) == warned


def test_the_page_shows_ablation_tables_without_the_scores_of_another_data_set(
    run: EvaluatedRun, tmp_path: Path
) -> None:
    folder = tmp_path / "ablation"
    folder.mkdir()
    (folder / "table-1.md").write_text(
        "# Losses\n\n| | mAP | paper mAP |\n|:-|-:|-:|\n| <b>f | 1.5 | 77.7 |\n\n- A note. Paper: VeRi-776.\n"
    )
    text = Page(report(run, ablation_folder=folder)).text
    assert "Losses variant mAP <b>f 1.5" in text and "A note." in text
    assert "77.7" not in text and "VeRi" not in text


def test_missing_parts_of_the_report_are_named(run: EvaluatedRun) -> None:
    text = Page(report(run)).text
    assert "this run has no training log" in text
    assert "no metrics of the detector that made the part cache" in text
    append_json_line(run.folder / "log.jsonl", {"epoch": 1, "loss": 1.0})
    assert "no scores on held-out vehicles" in Page(report(run)).text


def test_a_network_without_parts(run: EvaluatedRun) -> None:
    none = replace(run.features, attention=np.zeros((15, 0), np.float32))
    text = Page(report(replace(run, parts=empty_cache(run.dataset.names()), features=none))).text
    assert "does not use detected parts" in text and "Attention by part" not in text
    assert "Parts by camera" not in text and "most attention" not in text
    assert "Detected parts" in Page(report(replace(run, features=none))).text


def test_a_data_set_without_cameras(tmp_path: Path) -> None:
    page = Page(report(make_evaluated_run(tmp_path, cameras=False)))
    assert "camera -1" not in page.text and "own camera" not in page.text and "cosine score." in page.text
    assert not page.attributes("select") and "Parts by camera" not in page.text


def test_nothing_is_written_if_an_image_cannot_be_drawn(run: EvaluatedRun) -> None:
    run.dataset.path("1&<b>_1.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"^1&<b>_1\.png: cannot be drawn"):
        report(run, queries=5, top_k=10)
    assert not (run.test_folder / "report.html").exists()
