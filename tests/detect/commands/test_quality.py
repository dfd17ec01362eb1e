import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from data_cache.base.errors import UserError
from data_cache.images.loading import load_image
from detect.commands.parts import parts
from detect.evaluation.report import METRICS, PRECISION, RECALL
from detect.training.train import WEIGHTS
from helpers.places.detect import toy_place
from helpers.toy.annotations import find


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Toy data with a CSV, and under `runs` a detector named demo."""
    return toy_place(tmp_path_factory.mktemp("place"))


def run(place: Path, *words: str) -> str:
    """Run `parts` on the CPU with the toy's folders; return what it prints."""
    where = ["--data-root", str(place / "data"), "--runs", str(place / "runs"), "--device", "cpu", "--workers", "0"]
    result = CliRunner().invoke(parts, [words[0], "--dataset", "folder", *where, *words[1:]], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def annotations(place: Path) -> list[str]:
    return ["--annotations", str(place / "data/parts.json")]


def test_eval_prints_tables_and_keeps_what_it_found_beside_the_weights(place: Path) -> None:
    text = run(place, "eval", "--recipe", "demo", *annotations(place))
    assert "AP50" in text and "recall@D" in text and "of limit" in text
    folder = place / "runs/detector/demo/eval-parts"
    assert {METRICS, PRECISION, RECALL} == {path.name for path in folder.iterdir()}


def test_eval_prints_json_and_writes_where_it_is_told_to(place: Path, tmp_path: Path) -> None:
    weights = str(place / "runs/detector/demo" / WEIGHTS)
    words = ["--weights", weights, *annotations(place), "--output", str(tmp_path / "kept"), "--json"]
    metrics = json.loads(run(place, "eval", *words))
    assert metrics["images"] == 4 and 0 <= metrics["ap"] <= metrics["ap50"] <= 1
    kept = json.loads((tmp_path / "kept" / METRICS).read_text())
    assert {key: kept[key] for key in metrics} == metrics and kept["weights"]["file"] == weights


def test_eval_wants_annotations(place: Path) -> None:
    result = CliRunner().invoke(parts, ["eval", "--dataset", "folder", "--data-root", str(place / "data")])
    assert result.exit_code == 2 and "parts_test.json is not there; give --annotations FILE" in result.output


def test_preview_of_a_data_set_by_its_detector(place: Path) -> None:
    target = run(place, "preview", "--recipe", "demo", "--count", "2").strip()
    assert Path(target) == place / "runs/folder/parts_preview.png"
    assert load_image(Path(target)).std() > 20


def test_preview_of_a_cache_beside_the_truth(place: Path, tmp_path: Path) -> None:
    weights = (place / "runs/detector/demo" / WEIGHTS).relative_to(place)
    cache = tmp_path / "parts.h5"
    find(place / "data", cache, weights=str(".." / weights))
    target, options = tmp_path / "sheet.png", ["--cache", str(cache), *annotations(place)]
    assert run(place, "preview", *options, "--output", str(target)).strip() == str(target)
    everything = load_image(target)
    run(place, "preview", *options, "--output", str(target), "--names", "*/0000.png", "--minimum-score", "1")
    assert load_image(target).size < everything.size


def test_preview_of_photographs(place: Path, tmp_path: Path) -> None:
    folder = place / "data" / "images"
    run(place, "preview", "--images", str(folder), "--seed", "1", "--top", "3", "--output", str(tmp_path / "a.png"))
    assert load_image(tmp_path / "a.png").shape[1] > 400


def test_preview_takes_a_cache_or_a_detector(place: Path) -> None:
    result = CliRunner().invoke(parts, ["preview", "--cache", "parts.h5", "--recipe", "demo"])
    assert result.exit_code == 2 and "leave out --weights and --recipe, or --cache" in result.output


def test_preview_without_a_cache_there_tells_how_to_make_it(place: Path) -> None:
    with pytest.raises(UserError, match=r"none\.h5: no part cache there; make it with"):
        run(place, "preview", "--cache", str(place / "none.h5"))


@pytest.mark.parametrize("name", ["eval", "preview"])
def test_help_shows_examples(name: str) -> None:
    assert f"python cli.py parts {name} --" in CliRunner().invoke(parts, [name, "--help"]).output
