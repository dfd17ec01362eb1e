"""Which detector `--detector` names: by file, by name, the newest trained one, or the shipped one."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from data_cache.base.files import write_json
from detect.training.runs import METRICS, RECIPE, WEIGHTS, chosen_detector, require_same_training, results_folder
from helpers.places.detect import shipping
from helpers.toy.annotations import TINY


@pytest.fixture
def shipped(tmp_path: Path) -> Iterator[Path]:
    """A shipped file."""
    (tmp_path / "package").mkdir()
    file = tmp_path / "package" / "detector.safetensors"
    file.write_bytes(b"shipped")
    with shipping(file):
        yield file


def trained(runs: Path, name: str, seconds: int) -> Path:
    """Write the files of a detector that was trained at a time; return its weights."""
    folder = runs / "detector" / name
    folder.mkdir(parents=True)
    (folder / WEIGHTS).write_bytes(b"weights")
    (folder / METRICS).write_text("{}")
    os.utime(folder / METRICS, (seconds, seconds))
    return folder / WEIGHTS


def test_by_default_the_detector_trained_last_is_chosen(
    tmp_path: Path, shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new, old = trained(tmp_path, "a", 2_000), trained(tmp_path, "b", 1_000)
    assert chosen_detector(tmp_path, None) == new
    assert capsys.readouterr().err.startswith("detector: a, the newest trained in ")
    assert chosen_detector(tmp_path, "b") == old and chosen_detector(tmp_path, "shipped") == shipped
    assert capsys.readouterr().err == ""  # nothing to say about what was named


def test_where_none_was_trained_the_shipped_one_is_chosen_and_said(
    tmp_path: Path, shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "detector" / "killed").mkdir(parents=True)
    (tmp_path / "detector" / "killed" / WEIGHTS).write_bytes(b"unfinished")
    assert chosen_detector(tmp_path, None) == shipped
    (line,) = capsys.readouterr().err.splitlines()
    assert "ships with the package (detect/weights), as none was trained in" in line and "--detector" in line


def test_a_file_is_what_ends_with_safetensors_or_has_a_slash(tmp_path: Path) -> None:
    trained(tmp_path, "demo", 1_000)
    for file in ("mine.safetensors", "./demo", "a/b.safetensors"):
        assert chosen_detector(tmp_path, file) == Path(file)


def test_an_unknown_name_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    for name in ("b", "a"):
        trained(tmp_path, name, 1_000)
    with pytest.raises(
        UserError, match=r"wide: no trained detector \(trained in .*: a, b\); choose another .* or shipped$"
    ):
        chosen_detector(tmp_path, "wide")
    remedy = "train it with `python cli.py parts train --recipe demo`, or choose another"
    with pytest.raises(UserError, match=rf"trained in .*: none\); {remedy}"):
        chosen_detector(tmp_path / "elsewhere", "demo")
    with pytest.raises(UserError, match=r"cannot be used \(File name too long\)"):
        chosen_detector(tmp_path / ("x" * 300), None)


def test_nothing_is_written_into_the_package(tmp_path: Path, shipped: Path) -> None:
    assert results_folder(tmp_path, shipped) == tmp_path / "detector" / "shipped"
    assert results_folder(tmp_path, tmp_path / "mine" / WEIGHTS) == tmp_path / "mine"


def test_a_training_of_an_older_version_lacks_later_options_and_is_the_same(tmp_path: Path) -> None:
    made_from = {"recipe": TINY.model_dump(mode="json"), "annotations": "a"}
    older = {name: value for name, value in made_from["recipe"].items() if name != "anchors_per_part"}
    write_json(tmp_path / RECIPE, {**made_from, "recipe": older})
    require_same_training(tmp_path, made_from)
    write_json(tmp_path / RECIPE, {**made_from, "recipe": {**older, "epochs": 1}})
    with pytest.raises(UserError, match=r"made with recipe\.epochs = 1, this run needs 80; delete .* folder$"):
        require_same_training(tmp_path, made_from)
    write_json(tmp_path / RECIPE, {**made_from, "start": "b"})
    with pytest.raises(UserError, match=r"made with start = b, this run needs None; .*give the same --start"):
        require_same_training(tmp_path, made_from)
