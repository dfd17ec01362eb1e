"""The report: one file that holds all it shows, says what is missing, and treats every name as hostile."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_cache.datasets import Dataset, load_dataset
from data_cache.errors import UserError
from data_cache.files import append_json_line, sha256_of_file, write_json
from data_cache.parts import PartBoxes, no_parts
from reid.features_file import Features
from reid.report import detector_run, write_report
from reid.scores import score

HOSTILE = "<script>alert('x')</script>\"&"
VOID = {"meta", "link", "img", "input", "br"}


class Page(HTMLParser):
    """Collects tags and text, and checks that every element is closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["style"], ["script"]):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


class Run:
    """A finished run on five vehicles by three cameras."""

    def __init__(self, root: Path, *, cameras: bool = True) -> None:
        self.root = root
        lines = ["name,vehicle_id,camera_id,split"]
        for vehicle in range(5):
            label = HOSTILE.replace('"', '""') if vehicle == 0 else f"car {vehicle}"
            for camera in range(3):
                name = f"{vehicle}&<b>_{camera}.png"
                Image.new("RGB", (50, 30), (50 * vehicle, 90, 120)).save(root / name)
                lines.append(f'{name},"{label}",{camera if cameras else ""},{"query" if camera == 0 else "gallery"}')
        (root / "images.csv").write_text("\n".join(lines))
        self.dataset: Dataset = load_dataset("folder", root)
        names = tuple(self.dataset.names())
        count = len(names)
        boxes = np.tile(np.float32([[2, 2, 12, 12], [20, 5, 35, 25]]), (count, 1, 1))
        labels = np.tile(np.int8([1, 0]), (count, 1))
        scores = np.tile(np.float32([0.9, 0.8]), (count, 1))
        size = np.tile(np.int32([50, 30]), (count, 1))
        status = np.zeros(count, np.uint8)
        self.parts = PartBoxes(names, size, boxes, scores, labels, status, ("",) * count, ("mirror", "wheel"), {})
        random = np.random.default_rng(0)
        matrix = np.eye(5)[[int(name[0]) for name in names]] + 0.4 * random.standard_normal((count, 5))
        matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
        attention = np.tile(np.float32([0.2, 0.8]), (count, 1))
        self.features = Features(names, matrix.astype(np.float32), attention, {"weights": "c0ffee"})
        self.scores = score(self.features, self.dataset, "test")
        self.metrics: dict[str, Any] = {
            "dataset": "folder",
            "split": "test",
            "protocol": {"same_camera_is_junk": cameras, "draws": 1, "seed": None},
            "recipe": {"trunk": "resnet18", "note": HOSTILE},
            "recipe_name": "pgan_small",
            "checkpoint": {"file": "best.safetensors", "sha256": "c0ffee", "epoch": 7},
            "scores": {"trained": self.scores.as_json(), "untrained": self.scores.as_json()},
            "versions": {"torch": "2.14.1"},
            "commit": "abc123",
            "device": "CPU",
            "made": "2026-01-02T03:04:05+00:00",
        }

    def write(self, **changes: Any) -> str:
        given = {
            "dataset": self.dataset,
            "parts": self.parts,
            "features": self.features,
            "metrics": self.metrics,
            "detector_folder": None,
            "target": self.root / "report.html",
            "queries": 4,
            "top_k": 3,
        }
        return write_report(self.root, **(given | changes)).read_text(encoding="utf-8")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_the_page_holds_everything_it_shows(run: Run) -> None:
    append_json_line(run.root / "log.jsonl", {"epoch": 1, "loss": 1.0, "validation_mAP": 0.3})
    html = run.write()
    page = Page(html)
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#")), (tag, attributes.get(name))
    assert not re.search(r"url\((?!#)|@import", html)
    assert {tag for tag, _ in page.tags} >= {"header", "main", "section", "table", "figure", "figcaption", "article"}
    assert len([tag for tag, _ in page.tags if tag == "script"]) == 1


def test_scores_lists_and_provenance_are_told(run: Run) -> None:
    page = Page(run.write())
    for words in (
        f"{100 * run.scores.mAP:.1f}",
        "5 queries (0 without a match, left out), gallery 10",
        "own camera are left out",
        "the network before training",
        "SHA-256 c0ffee",
        "best.safetensors, epoch 7",
        "torch 2.14.1",
        "python cli.py evaluate --dataset folder --recipe pgan_small --split test --untrained",
        "2026-01-02 03:04 UTC",
        "Of 15 images, 15 have parts, 0 have none",
        "wheel",
        "0.800 1.60 100.0",
    ):
        assert words in page.text, words
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 4 * (1 + 3) and all(attributes["alt"] for attributes in images)
    articles = [attributes for tag, attributes in page.tags if tag == "article"]
    assert len(articles) == 4 and {attributes["data-first"] for attributes in articles} <= {"right", "wrong"}


def test_names_cannot_write_the_page(run: Run) -> None:
    html = run.write(queries=5)
    page = Page(html)
    assert HOSTILE not in html and html.count("<script>") == 1
    assert HOSTILE in page.text  # as text, for the reader
    assert any(attributes.get("title") == "0&<b>_0.png" for tag, attributes in page.tags if tag == "img")
    assert not any(tag == "b" for tag, _ in page.tags)


def test_what_is_missing_is_said(run: Run) -> None:
    text = Page(run.write()).text
    assert "This run has no log" in text
    assert "detector that made the part cache are not among the runs" in text
    append_json_line(run.root / "log.jsonl", {"epoch": 1, "loss": 1.0})
    assert "no scores on held-out vehicles" in Page(run.write()).text


def test_a_network_without_parts_has_a_page_too(run: Run) -> None:
    none = Features(run.features.names, run.features.matrix, np.zeros((15, 0), np.float32), {})
    text = Page(run.write(parts=no_parts(run.dataset.names()), features=none)).text
    assert "looks at no detected parts" in text and "What the network looks at" not in text
    assert "Parts found" in Page(run.write(features=none)).text


def test_a_data_set_without_cameras(tmp_path: Path) -> None:
    text = Page(Run(tmp_path, cameras=False).write()).text
    assert "camera -1" not in text and "own camera" not in text and "cosine score." in text


def test_the_detector_is_found_by_its_weights(run: Run, tmp_path: Path) -> None:
    detectors = tmp_path / "detector"
    for name in ("first", "second"):
        (detectors / name).mkdir(parents=True)
        (detectors / name / "weights.safetensors").write_text(name)
        metrics = {"images": 80, "parts": 1640, "ap": 0.4, "ap50": 0.683, "recall": 0.79, "recall_depth": 8}
        write_json(detectors / name / "metrics.json", metrics | {"ap_by_part": {"wheel": 0.25}})
        append_json_line(detectors / name / "log.jsonl", {"epoch": 1, "loss": 2.0})
    made_by = {"weights_sha256": sha256_of_file(detectors / "second" / "weights.safetensors")}
    parts = PartBoxes(**{**vars(run.parts), "fingerprint": made_by})
    assert detector_run(detectors, parts) == detectors / "second"
    assert detector_run(detectors, run.parts) is None
    assert detector_run(detectors / "first", run.parts) == detectors / "first"
    text = Page(run.write(parts=parts, detector_folder=detectors)).text
    assert "Detector second, percent; 1,640 parts in 80 images." in text
    assert "AP50 68.3" in text and "Losses of the detector" in text and "detector AP" in text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"scores": {}}, "no scores of a trained network"),
        ({"dataset": "veri"}, "is of data set veri, not folder"),
        ({"checkpoint": {"file": "x", "sha256": "beef", "epoch": 1}}, "of another checkpoint"),
        ({"split": "huge"}, "unknown split"),
    ],
)
def test_results_that_do_not_fit_together_are_refused(run: Run, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        run.write(metrics=run.metrics | change)
    assert not (run.root / "report.html").exists()


def test_the_page_is_the_same_each_time(run: Run) -> None:
    assert run.write() == run.write()
