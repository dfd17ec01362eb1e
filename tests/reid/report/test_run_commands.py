"""The commands on a page name data set, folders, settings, draws and additional scores of the run."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.toy.evaluated import make_evaluated_run, with_metrics
from reid.recipes import PRESETS
from reid.report.evaluated_run import EvaluatedRun
from reid.report.run_commands import reproduction_commands


@pytest.fixture
def run(tmp_path: Path) -> EvaluatedRun:
    return with_recipe(make_evaluated_run(tmp_path), "pgan_small")


def with_recipe(run: EvaluatedRun, name: str, **changes: Any) -> EvaluatedRun:
    """Return the run in runs/folder/NAME, with the recipe pgan_small except for `changes`."""
    recipe = PRESETS["pgan_small"].model_copy(update=changes).model_dump(mode="json")
    arguments = {"--dataset": "folder", "--runs": "runs", "--parts": "p.h5", "--untrained": True, "--ap": "trapezoid"}
    renamed = replace(run, folder=Path("runs") / "folder" / name)
    return with_metrics(renamed, recipe=recipe, recipe_name=name, arguments=arguments)


def test_commands_of_a_preset(run: EvaluatedRun) -> None:
    location = "--dataset folder --runs runs"
    assert reproduction_commands(run, [replace(run, folder=Path("runs/folder/grid"))]) == [
        f"python cli.py detect {location}",
        f"python cli.py train {location} --parts p.h5 --recipe pgan_small",
        f"python cli.py evaluate {location} --parts p.h5 --untrained --ap trapezoid --recipe pgan_small --split test",
        f"python cli.py report {location} --parts p.h5 --recipe pgan_small --split test --compare grid",
    ]


def test_a_run_without_stored_arguments_has_no_commands(run: EvaluatedRun) -> None:
    metrics = {name: value for name, value in run.metrics.items() if name != "arguments"}
    assert reproduction_commands(replace(run, metrics=metrics), []) == []


def test_changes_of_the_preset_are_set_options(run: EvaluatedRun) -> None:
    changes = {"triplets": ("fusion", "part"), "trunk_weights": "file.pth"}
    train = reproduction_commands(with_recipe(run, "pgan_small", **changes), [])[1]
    words = shlex.split(train)
    assert words[words.index("pgan_small") + 1 :] == [
        *("--set", 'trunk_weights="file.pth"'),
        *("--set", 'triplets=["fusion", "part"]'),
    ]
    assert reproduction_commands(with_recipe(run, "wide", **changes), [])[1].endswith("--recipe wide.yaml")


def test_imported_weights_are_imported(run: EvaluatedRun) -> None:
    command = reproduction_commands(with_metrics(run, checkpoint={"source": {}}), [])[1]
    assert command == (
        "python cli.py import-weights --official model_best.pth --dataset folder --runs runs --name pgan_small "
        "--parts-depth 8"
    )


def test_a_run_of_the_ablation_is_not_trained(run: EvaluatedRun) -> None:
    folder = run.folder.parent / "ablation" / "pgan-seed0"
    detect, evaluate, _ = reproduction_commands(replace(run, folder=folder), [])
    assert detect == reproduction_commands(run, [])[0] and "--recipe ablation/pgan-seed0 " in evaluate
