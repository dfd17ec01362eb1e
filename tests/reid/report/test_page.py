"""The report: one file that holds all it shows, says what is missing, and treats every name as hostile."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_cache.base.errors import UserError
from data_cache.base.files import append_json_line
from data_cache.parts.cache import no_parts
from helpers.browser.html_page import Page
from helpers.toy.evaluated import HOSTILE, shown_run, with_metrics
from reid.report.evaluated_run import ShownRun
from reid.report.heatmaps import Heat
from reid.report.page import write_report


@pytest.fixture
def run(tmp_path: Path) -> ShownRun:
    return shown_run(tmp_path)


def written(run: ShownRun, *others: ShownRun, **options: Any) -> str:
    target = run.test_folder / "report.html"
    given = {"queries": 4, "top_k": 3} | options
    return write_report(run, others, target=target, **given).read_text(encoding="utf-8")


def test_the_page_holds_everything_it_shows(run: ShownRun) -> None:
    run.folder.mkdir()
    append_json_line(run.folder / "log.jsonl", {"epoch": 1, "loss": 1.0, "validation_mAP": 0.3})
    html = written(run)
    page = Page(html)
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#")), (tag, attributes.get(name))
    assert not re.search(r"url\((?!#)|@import", html)
    assert {tag for tag, _ in page.tags} >= {"header", "main", "section", "table", "figure", "figcaption", "article"}
    assert len(page.attributes("script")) == 1


def test_scores_lists_and_provenance_are_told(run: ShownRun) -> None:
    page = Page(written(run))
    for words in (
        f"{100 * run.metrics['scores']['trained']['mAP']:.1f}",
        "5 queries (0 without a match, left out), gallery 10",
        "own camera are left out",
        "the network before training",
        "SHA-256 c0ffee",
        "best.safetensors, epoch 7",
        "torch 2.14.1",
        "python cli.py evaluate --dataset folder --data-root ",
        " --recipe pgan_small --split test --untrained",
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


def test_names_cannot_write_the_page(run: ShownRun) -> None:
    html = written(run, queries=5)
    page = Page(html)
    assert HOSTILE not in html and html.count("<script>") == 1
    assert HOSTILE in page.text  # as text, for the reader
    assert any(attributes.get("title") == "0&<b>_0.png" for attributes in page.attributes("img"))
    assert not page.attributes("b")


def test_characters_that_no_reader_sees_are_shown(run: ShownRun) -> None:
    html = written(with_metrics(run, device="a\x1b[31m\u202eb\0\ud800", commit=None))
    assert r"a\x1b[31m\u202eb\x00\ud800" in Page(html).text
    assert not re.search("[\x00-\x08\x0e-\x1f\u202e]", html)


def test_a_row_of_the_camera_table_is_the_mean_number_of_boxes(run: ShownRun) -> None:
    text = Page(written(run)).text
    assert "Parts by camera" in text and "camera 0 1 2 images 5 5 5" in text
    assert "wheel 1.00 1.00 1.00 all parts 2.00 2.00 2.00" in text


def test_runs_that_are_compared_stand_beside_it(run: ShownRun, tmp_path: Path) -> None:
    other = shown_run(tmp_path, name="grid_small", noise=3)
    text = Page(written(run, other)).text
    assert "pgan_small: trained" in text and "grid_small: trained" in text
    assert "--split test --compare grid_small" in text


def test_heatmaps_are_columns_of_pictures(run: ShownRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def heat(self: ShownRun, names: list[str], *, device: str) -> dict[str, Heat]:
        ramp = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
        return {name: Heat(ramp, 1.5 * ramp) for name in names}

    assert "Heatmaps" not in Page(written(run)).text
    monkeypatch.setattr(ShownRun, "heat", heat)
    page = Page(written(run, heatmaps=2))
    assert page.text.count("pgan_small: Fp - Fg") == 2
    alternatives = [str(attributes["alt"]) for attributes in page.attributes("img")]
    assert sum(text.startswith("pgan_small: Fp of ") for text in alternatives) == 2


def test_the_tables_of_the_ablation_are_taken_in(run: ShownRun, tmp_path: Path) -> None:
    folder = tmp_path / "ablation"
    folder.mkdir()
    (folder / "table-1.md").write_text(
        "# Losses\n\n| | mAP | paper mAP |\n|:-|-:|-:|\n| <b>f | 1.5 | 77.7 |\n\n- A note.\n"
    )
    (folder / "table-1.png").write_bytes(b"png")
    page = Page(written(run, ablation_folder=folder))
    assert "Losses variant mAP paper mAP <b>f 1.5 77.7" in page.text and "A note." in page.text
    assert any(attributes["src"] == "data:image/png;base64,cG5n" for attributes in page.attributes("img"))


def test_what_is_missing_is_said(run: ShownRun) -> None:
    text = Page(written(run)).text
    assert "This run has no log" in text
    assert "detector that made the part cache are not among the runs" in text
    append_json_line(run.folder / "log.jsonl", {"epoch": 1, "loss": 1.0})
    assert "no scores on held-out vehicles" in Page(written(run)).text


def test_a_network_without_parts_has_a_page_too(run: ShownRun) -> None:
    none = replace(run.features, attention=np.zeros((15, 0), np.float32))
    text = Page(written(replace(run, parts=no_parts(run.dataset.names()), features=none))).text
    assert "looks at no detected parts" in text and "What the network looks at" not in text
    assert "Parts by camera" not in text and "most attention" not in text
    assert "Parts found" in Page(written(replace(run, features=none))).text


def test_a_data_set_without_cameras(tmp_path: Path) -> None:
    page = Page(written(shown_run(tmp_path, cameras=False)))
    assert "camera -1" not in page.text and "own camera" not in page.text and "cosine score." in page.text
    assert not page.attributes("select") and "Parts by camera" not in page.text


def test_the_page_is_the_same_each_time(run: ShownRun) -> None:
    assert written(run) == written(run)


def test_the_commands_of_a_run_of_the_ablation_name_its_place(run: ShownRun, tmp_path: Path) -> None:
    text = Page(written(replace(run, folder=tmp_path / "ablation" / "pgan_small"))).text
    assert "--recipe ablation/pgan_small --split test" in text and "cli.py train" not in text


def test_nothing_is_written_where_an_image_cannot_be_shown(run: ShownRun) -> None:
    run.dataset.path("1&<b>_1.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="no picture of it can be made"):
        written(run, queries=5, top_k=10)
    assert not (run.test_folder / "report.html").exists()
