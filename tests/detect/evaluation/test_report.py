import json
import re
from pathlib import Path

import numpy as np
import pytest

from data_cache.base.errors import UserError
from data_cache.base.files import sha256_of_file
from data_cache.images.loading import load_image
from data_cache.parts.names import PART_NAMES
from detect.annotations.images import AnnotatedImage
from detect.evaluation.metrics import DetectorMetrics, measure
from detect.evaluation.precision_recall import LARGE, SIZES, SMALL
from detect.evaluation.report import METRICS, PRECISION, RECALL, SIZE_NAMES, TABLE_TOP_D, show_metrics, write_quality
from helpers.toy.detections import NOTHING, Detected, annotated_image, detections, perfect, random_case


def write(metrics: DetectorMetrics, folder: Path) -> Path:
    for name in ("weights", "annotations"):
        (folder / name).write_text(name)
    return write_quality(metrics, folder / "eval", weights=folder / "weights", annotations=folder / "annotations")


def test_the_metrics_file_has_the_metrics_and_the_hashes_of_the_evaluated_files(tmp_path: Path) -> None:
    metrics = measure(*random_case(0))
    folder = write(metrics, tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == sorted([METRICS, PRECISION, RECALL])
    content = json.loads((folder / METRICS).read_text())
    assert content["weights"]["sha256"] == sha256_of_file(tmp_path / "weights")
    annotations = tmp_path / "annotations"
    assert content["annotations"] == {"file": str(annotations), "sha256": sha256_of_file(annotations)}
    assert {key: content[key] for key in metrics.to_dict()} == json.loads(json.dumps(metrics.to_dict()))
    assert "curves" not in content and content["recall_by_depth"][7]["share"] == metrics.recall_by_depth[7].share


@pytest.mark.parametrize(
    ("image", "detected"),
    [
        (annotated_image("a", [[0, 0, 9, 9]], [2]), NOTHING),
        (annotated_image("a", [], []), ([[0, 0, 9, 9]], [0], [0.9])),
    ],
    ids=["no detection", "no true part"],
)
def test_plots_are_drawn_for_empty_metrics(image: AnnotatedImage, detected: Detected, tmp_path: Path) -> None:
    folder = write(measure([image], detections([image], [detected])), tmp_path)
    for name in (PRECISION, RECALL):
        assert load_image(folder / name).std() > 5


def test_a_better_detector_has_another_curve(tmp_path: Path) -> None:
    images, detected = random_case(2)
    plots = []
    for name, each in (("random", detected), ("perfect", detections(images, perfect(images)))):
        (tmp_path / name).mkdir()
        plots.append(load_image(write(measure(images, each), tmp_path / name) / PRECISION))
    assert np.mean(plots[0] != plots[1]) > 0.001


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "eval").write_text("")
    with pytest.raises(UserError, match=r"metrics\.json: cannot be written"):
        write(measure(*random_case(0)), tmp_path)


def test_tables_show_the_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    """Twelve parts of one kind, of which six are found: eight boxes reach 8/12, six of twelve are 3/4 of that."""
    boxes = [[x, 0, x + 5, 6] for x in range(0, 60, 5)]
    images = [annotated_image("a", boxes, [3] * 12)]
    show_metrics(measure(images, detections(images, [(boxes[:6], [3] * 6, [0.9] * 6)])))
    text = capsys.readouterr().out
    rows = [re.split(r"\s*│\s*", line.strip("│ ")) for line in text.splitlines() if line.startswith("│")]
    assert "12 true parts in 1 images" in text and "Images show 12.0 parts" in text
    assert [row for row in rows if row[0] == "8"] == [["8", "0.667", "0.500", "0.750", "0.500", "0.750"]]
    assert [row[0] for row in rows if row[0].isdigit()] == [str(top_d) for top_d in TABLE_TOP_D]
    assert [row for row in rows if row[0] == PART_NAMES[3]] == [[PART_NAMES[3], "0.505", "0.505", "0.500", "12"]]
    assert [row[1:] for row in rows if row[0] in ("AP50", "AP75")] == [["0.505", "12"]] * 2
    assert [row[1:] for row in rows if row[0].startswith("AP medium")] == [["0.505", "12"]]
    assert not any(row[0].startswith(("AP small", "AP large")) for row in rows)


def test_the_names_of_sizes_agree_with_their_limits() -> None:
    assert set(SIZE_NAMES) == set(SIZES) - {"all"}
    assert SIZE_NAMES["small"].startswith(f"under {100 * SMALL:g} %")
    assert SIZE_NAMES["large"] == f"over {100 * LARGE:g} %"
