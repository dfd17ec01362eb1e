import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from data_cache.base.errors import UserError
from data_cache.images.loading import load_image
from detect.commands.parts import parts
from detect.evaluation.report import METRICS, PRECISION, RECALL
from detect.training.runs import WEIGHTS
from helpers.places.detect import toy_workspace
from helpers.toy.annotations import detect_toy


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with toy data and a detector named demo."""
    return toy_workspace(tmp_path_factory.mktemp("workspace"))


def run(workspace: Path, *words: str) -> str:
    """Run a `parts` command on the toy data; return its standard output."""
    where = [
        "--data-root",
        str(workspace / "data"),
        "--runs",
        str(workspace / "runs"),
        "--device",
        "cpu",
        "--workers",
        "0",
    ]
    result = CliRunner().invoke(parts, [words[0], "--dataset", "folder", *where, *words[1:]], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def annotations(workspace: Path) -> list[str]:
    return ["--annotations", str(workspace / "data/parts.json")]


def test_eval_prints_tables_and_writes_metrics_beside_the_weights(workspace: Path) -> None:
    text = run(workspace, "eval", "--detector", "demo", *annotations(workspace))
    assert "AP50" in text and "recall@D" in text and "of limit" in text
    folder = workspace / "runs/detector/demo/eval-parts"
    assert {METRICS, PRECISION, RECALL} == {path.name for path in folder.iterdir()}


def test_eval_prints_json_and_writes_to_the_output_folder(workspace: Path, tmp_path: Path) -> None:
    weights = str(workspace / "runs/detector/demo" / WEIGHTS)
    words = ["--detector", weights, *annotations(workspace), "--output", str(tmp_path / "kept"), "--json"]
    metrics = json.loads(run(workspace, "eval", *words))
    assert metrics["images"] == 4 and 0 <= metrics["ap"] <= metrics["ap50"] <= 1
    written = json.loads((tmp_path / "kept" / METRICS).read_text())
    assert {key: written[key] for key in metrics} == metrics and written["weights"]["file"] == weights


def test_eval_needs_annotations(workspace: Path) -> None:
    result = CliRunner().invoke(parts, ["eval", "--dataset", "folder", "--data-root", str(workspace / "data")])
    assert result.exit_code == 2 and "parts_test.json is missing; give --annotations FILE" in result.output


def test_preview_of_a_data_set(workspace: Path) -> None:
    target = run(workspace, "preview", "--detector", "demo", "--count", "2").strip()
    assert Path(target) == workspace / "runs/folder/parts_preview.png"
    assert load_image(Path(target)).std() > 20


def test_preview_of_a_cache_with_annotations(workspace: Path, tmp_path: Path) -> None:
    weights = (workspace / "runs/detector/demo" / WEIGHTS).relative_to(workspace)
    cache = tmp_path / "parts.h5"
    detect_toy(workspace / "data", cache, weights=str(".." / weights))
    target, options = tmp_path / "sheet.png", ["--cache", str(cache), *annotations(workspace)]
    assert run(workspace, "preview", *options, "--output", str(target)).strip() == str(target)
    everything = load_image(target)
    run(workspace, "preview", *options, "--output", str(target), "--names", "*/0000.png", "--minimum-score", "1")
    assert load_image(target).size < everything.size


def test_preview_of_a_folder_of_images(workspace: Path, tmp_path: Path) -> None:
    folder = workspace / "data" / "images"
    run(workspace, "preview", "--images", str(folder), "--seed", "1", "--top", "3", "--output", str(tmp_path / "a.png"))
    assert load_image(tmp_path / "a.png").shape[1] > 400


def test_preview_takes_either_a_cache_or_a_detector(workspace: Path) -> None:
    result = CliRunner().invoke(parts, ["preview", "--cache", "parts.h5", "--detector", "demo"])
    assert result.exit_code == 2 and "--cache cannot be combined with" in result.output


def test_preview_of_a_missing_cache_is_an_error_with_the_remedy(workspace: Path) -> None:
    with pytest.raises(UserError, match=r"none\.h5: no such part cache; make it with"):
        run(workspace, "preview", "--cache", str(workspace / "none.h5"))


def test_preview_of_varied_boxes_has_fewer_of_a_label(workspace: Path, tmp_path: Path) -> None:
    weights = (workspace / "runs/detector/demo" / WEIGHTS).relative_to(workspace)
    cache = tmp_path / "parts.h5"
    detect_toy(workspace / "data", cache, weights=str(".." / weights))
    sheets = []
    for name, more in (
        ("all.png", []),
        ("varied.png", ["--per-label", "1"]),
        ("many.png", ["--per-label", "16"]),
        ("first.png", ["--first", "varying"]),
    ):
        words = ["--cache", str(cache), "--output", str(tmp_path / name), "--top", "16", *more]
        run(workspace, "preview", *words)
        sheets.append(load_image(tmp_path / name))
    assert (sheets[0] == sheets[2]).all() and (sheets[0] == sheets[3]).all()  # as many as there are
    assert sheets[0].shape != sheets[1].shape or (sheets[0] != sheets[1]).any()
