"""The layout of the runs folder, and the choice of a run by name or time."""

import os
from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from reid.runs import BEST, LAST, PREVIOUS, checkpoint_to_continue, chosen_run, dataset_folder, run_name, trained_runs


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Runs on veri: "grid" is the newest recipe, "none" is not trained, one run is of the ablation."""
    for age, name in enumerate(("ablation/pgan-seed0", "grid", "pgan")):
        best = tmp_path / "veri" / name / BEST
        best.parent.mkdir(parents=True)
        best.touch()
        os.utime(best, (1000 - age, 1000 - age))
    (tmp_path / "veri" / "none").mkdir()
    return tmp_path


def test_the_default_is_the_newest_run_outside_the_ablation(runs: Path) -> None:
    assert chosen_run(runs, "veri", None) == runs / "veri" / "grid"


@pytest.mark.parametrize("recipe", ["pgan", "configs/pgan.yaml", "ablation/pgan-seed0"])
def test_a_run_is_found_by_its_recipe(runs: Path, recipe: str) -> None:
    run = chosen_run(runs, "veri", recipe)
    assert run_name(run) == recipe.removeprefix("configs/").removesuffix(".yaml")
    assert dataset_folder(run) == runs / "veri"


@pytest.mark.parametrize("recipe", ["none", "ablation/other"])
def test_an_untrained_run_is_refused_with_the_trained_ones(runs: Path, recipe: str) -> None:
    with pytest.raises(UserError, match=r"trained on veri: pgan, grid, ablation/pgan-seed0"):
        chosen_run(runs, "veri", recipe)


def test_a_path_is_taken_as_a_path_and_never_as_a_name(runs: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "veri" / "pgan"
    with pytest.raises(UserError, match=rf"{elsewhere}: no trained network there"):
        chosen_run(runs, "veri", str(elsewhere))
    elsewhere.mkdir(parents=True)
    (elsewhere / BEST).touch()
    assert chosen_run(runs, "veri", str(elsewhere)) == elsewhere
    assert chosen_run(runs, "vric", str(elsewhere)) == elsewhere


def test_trained_runs_are_those_of_all_data_sets_newest_last(runs: Path) -> None:
    other = runs / "vric" / "pgan" / BEST
    other.parent.mkdir(parents=True)
    other.touch()
    os.utime(other, (999.5, 999.5))
    names = [str(run.relative_to(runs)) for run in trained_runs(runs)]
    assert names == ["veri/pgan", "veri/grid", "vric/pgan"]


def test_training_resumes_from_the_last_checkpoint_or_else_the_previous(tmp_path: Path) -> None:
    assert checkpoint_to_continue(tmp_path) is None
    for name in (PREVIOUS, LAST):
        (tmp_path / name).touch()
        assert checkpoint_to_continue(tmp_path) == tmp_path / name
