from dataclasses import replace
from pathlib import Path

import pytest
import torch

from data_cache.base.errors import UserError
from detect.annotations.reading import read_annotations
from detect.evaluation.evaluate import evaluate_detector
from detect.model.detector import Detector
from detect.model.ssd import build_network
from helpers.toy.annotations import TINY, toy_set


@pytest.fixture(scope="module")
def detector() -> Detector:
    torch.manual_seed(0)
    return Detector(build_network(TINY), TINY, "cpu")


def test_all_images_are_measured(detector: Detector, tmp_path: Path) -> None:
    images = read_annotations(toy_set(tmp_path, TINY.batch_size + 1), tmp_path)
    metrics = evaluate_detector(detector, images, tmp_path, workers=0)
    assert (metrics.images, metrics.parts) == (TINY.batch_size + 1, 4 * (TINY.batch_size + 1))
    assert 0 <= metrics.ap <= metrics.ap50 <= 1 and metrics.recall <= metrics.recall_limit == 1


def test_an_unreadable_image_is_an_error(detector: Detector, tmp_path: Path) -> None:
    images = read_annotations(toy_set(tmp_path, 2), tmp_path)
    (tmp_path / "images/0001.png").write_text("no image")
    with pytest.raises(UserError, match=r"0001\.png: not a JPEG, PNG, WebP or BMP image"):
        evaluate_detector(detector, images, tmp_path, workers=0)


def test_an_image_of_another_size_than_annotated_is_an_error(detector: Detector, tmp_path: Path) -> None:
    first, second = read_annotations(toy_set(tmp_path, 2), tmp_path)
    wrong = [first, replace(second, width=320, height=240)]
    with pytest.raises(UserError, match=r"images/0001\.png: 160 x 120 pixels, annotated as 320 x 240"):
        evaluate_detector(detector, wrong, tmp_path, workers=0)
