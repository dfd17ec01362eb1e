"""The commands on a page name what made the run: data set, folders, settings, draws, what stands beside the score."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.toy.evaluated import shown_run
from reid.recipes import PRESETS
from reid.report.evaluated_run import ShownRun
from reid.report.run_commands import commands_of

PLACE = "--dataset folder --data-root {root} --runs {root}/runs"


@pytest.fixture
def run(tmp_path: Path) -> ShownRun:
    return told(shown_run(tmp_path), tmp_path / "runs" / "folder" / "pgan_small", recipe=PRESETS["pgan_small"])


def told(run: ShownRun, folder: Path, **metrics: Any) -> ShownRun:
    """Return the run in another folder, with other things told in metrics.json."""
    recipe = metrics.pop("recipe").model_dump(mode="json")
    return replace(run, folder=folder, metrics={**run.metrics, "recipe": recipe, "recipe_name": folder.name, **metrics})


def test_a_preset_as_it_is_in_a_place_of_its_own(run: ShownRun, tmp_path: Path) -> None:
    place = PLACE.format(root=tmp_path)
    assert commands_of(run, [replace(run, metrics={**run.metrics, "recipe_name": "grid"})]) == [
        f"python cli.py detect {place}",
        f"python cli.py train {place} --recipe pgan_small",
        f"python cli.py evaluate {place} --recipe pgan_small --split test --untrained",
        f"python cli.py report {place} --recipe pgan_small --split test --compare grid",
    ]


@pytest.mark.parametrize(
    ("name", "root", "words"),
    [("veri", "data/VeRi", "veri"), ("mine", "data", "mine.csv"), ("folder", "data", "folder")],
)
def test_the_usual_folders_are_not_named(run: ShownRun, name: str, root: str, words: str) -> None:
    dataset, metrics = replace(run.dataset, name=name, root=Path(root)), {**run.metrics, "dataset": name}
    usual = replace(run, folder=Path("runs") / name / "pgan", dataset=dataset, metrics=metrics)
    assert commands_of(usual, [])[0] == f"python cli.py detect --dataset {words}"


def test_settings_that_differ_from_the_preset_are_set(run: ShownRun) -> None:
    recipe = PRESETS["pgan_small"].model_copy(update={"triplets": ("fusion", "part"), "trunk_weights": "file.pth"})
    train = commands_of(told(run, run.folder, recipe=recipe), [])[1]
    settings = ['--set trunk_weights="file.pth"', '--set triplets=["fusion", "part"]']
    words = shlex.split(train)
    changed = words[words.index("pgan_small") + 1 :]
    assert [" ".join(pair) for pair in zip(changed[::2], changed[1::2], strict=True)] == settings
    train = commands_of(told(run, run.folder.with_name("wide"), recipe=recipe), [])[1]
    assert train.endswith("--recipe wide.yaml")


def test_draws_and_what_stands_beside_the_plain_score_are_named(run: ShownRun) -> None:
    scores = {**run.metrics["scores"]["trained"], "trials": 1, "seed": 3, "precision": "trapezoid"}
    rows = {"trained": scores, "trained, re-ranked": scores, "trained, expanded queries": scores}
    metrics = {**run.metrics, "scores": rows, "protocol": {"expand": 7}}
    evaluate = commands_of(replace(run, metrics=metrics), [])[2]
    assert evaluate.endswith("--split test --draws 1 --seed 3 --ap trapezoid --rerank --expand 7")


def test_imported_weights_are_imported_again_and_a_run_of_the_ablation_is_not_trained(run: ShownRun) -> None:
    imported = {**run.metrics, "checkpoint": {"source": {}}}
    making = commands_of(replace(run, metrics=imported), [])[1]
    assert making.startswith("python cli.py import-weights --official model_best.pth --dataset folder --runs ")
    assert "--data-root" not in making and making.endswith("--name pgan_small --parts-depth 8")
    compared = replace(run, folder=run.folder.parent / "ablation" / "pgan-seed0")
    detect, evaluate, _ = commands_of(compared, [])
    assert detect == commands_of(run, [])[0] and "--recipe ablation/pgan_small " in evaluate
