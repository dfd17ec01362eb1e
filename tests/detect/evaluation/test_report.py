import json
from pathlib import Path

import numpy as np
import pytest

from data_cache.base.errors import UserError
from data_cache.base.files import sha256_of_file
from data_cache.images.loading import load_image
from detect.evaluation.metrics import DetectorMetrics, measure
from detect.evaluation.report import METRICS, PRECISION, RECALL, write_quality
from helpers.toy.answers import answer, image, random_case


def written(metrics: DetectorMetrics, folder: Path) -> Path:
    for name in ("weights", "annotations"):
        (folder / name).write_text(name)
    return write_quality(metrics, folder / "eval", weights=folder / "weights", annotations=folder / "annotations")


def test_the_folder_holds_the_metrics_and_what_they_are_of(tmp_path: Path) -> None:
    metrics = measure(*random_case(0))
    folder = written(metrics, tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == sorted([METRICS, PRECISION, RECALL])
    content = json.loads((folder / METRICS).read_text())
    assert content["weights"]["sha256"] == sha256_of_file(tmp_path / "weights")
    assert content["annotations"] == {
        "file": str(tmp_path / "annotations"),
        "sha256": sha256_of_file(tmp_path / "annotations"),
    }
    assert {key: content[key] for key in metrics.to_dict()} == json.loads(json.dumps(metrics.to_dict()))


@pytest.mark.parametrize(
    "metrics",
    [
        measure([image("a", [[0, 0, 9, 9]], [2])], [answer([], [], [])]),
        measure([image("a", [], [])], [answer([[0, 0, 9, 9]], [0], [0.9])]),
    ],
    ids=["one part, never found", "no true part"],
)
def test_figures_are_drawn_whatever_there_is(metrics: DetectorMetrics, tmp_path: Path) -> None:
    folder = written(metrics, tmp_path)
    for name in (PRECISION, RECALL):
        assert load_image(folder / name).std() > 5


def test_a_better_detector_has_another_curve(tmp_path: Path) -> None:
    images, found = random_case(2)
    perfect = [answer(each.boxes.tolist(), each.labels.tolist(), [0.9] * len(each.labels)) for each in images]
    pictures = []
    for name, each in (("found", found), ("perfect", perfect)):
        (tmp_path / name).mkdir()
        pictures.append(load_image(written(measure(images, each), tmp_path / name) / PRECISION))
    assert np.mean(pictures[0] != pictures[1]) > 0.001


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "eval").write_text("")
    with pytest.raises(UserError, match=r"metrics\.json: cannot be written"):
        written(measure(*random_case(0)), tmp_path)
