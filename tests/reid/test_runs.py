"""The layout of the runs folder, and the choice of a run by name or time."""

import os
from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from reid.runs import BEST, LAST, PREVIOUS, checkpoint_to_continue, chosen_run, dataset_folder, run_name


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


@pytest.mark.parametrize("recipe", ["none", "ablation/other", "../veri/none"])
def test_an_untrained_run_is_refused_with_the_trained_ones(runs: Path, recipe: str) -> None:
    with pytest.raises(UserError, match=r"trained on veri: pgan, grid, ablation/pgan-seed0"):
        chosen_run(runs, "veri", recipe)


def test_training_resumes_from_the_last_checkpoint_or_else_the_previous(tmp_path: Path) -> None:
    assert checkpoint_to_continue(tmp_path) is None
    for name in (PREVIOUS, LAST):
        (tmp_path / name).touch()
        assert checkpoint_to_continue(tmp_path) == tmp_path / name
