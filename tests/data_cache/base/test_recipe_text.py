"""A recipe as commented YAML: it is read back unchanged, and both `train` commands print it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import main
from data_cache.base.config import Recipe, recipe_text, resolve_recipe
from detect.recipes import PRESETS as DETECTORS
from detect.recipes import DetectorRecipe
from reid.recipes import LATER_OPTIONS, PRESETS, ReidRecipe

ALL: list[tuple[str, Recipe]] = [*PRESETS.items(), *DETECTORS.items()]


@pytest.mark.parametrize(("name", "recipe"), ALL, ids=[name for name, _ in ALL])
def test_recipe_text_round_trip(name: str, recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(recipe_text(recipe, name))
    assert resolve_recipe(type(recipe), {}, str(path)) == recipe


def test_every_option_is_listed_with_its_allowed_values() -> None:
    lines = recipe_text(PRESETS["baseline"], "baseline").splitlines()
    assert lines[0].startswith("# baseline.")
    (holdout,) = [line for line in lines if line.startswith("holdout: 0.1 ")]
    assert holdout.endswith("; at least 0, less than 0.5")
    assert 'schedule: "halving"  # the paper halves every 20 epochs; halving, cosine' in lines
    options = [line.partition(":")[0] for line in lines[1:]]
    assert set(options) == {*PRESETS["baseline"].model_dump(mode="json"), *LATER_OPTIONS}  # these are not dumped
    assert options.index("parts_per_label") == options.index("parts") + 1


@pytest.mark.parametrize(
    ("words", "kind", "option"),
    [
        (["train", "--recipe", "pgan", "--set", "parts=6", "--seed", "3"], ReidRecipe, {"parts": 6, "seed": 3}),
        (["parts", "train", "--recipe", "demo", "--set", "epochs=2", "--seed", "3"], DetectorRecipe, {"epochs": 2}),
    ],
)
def test_show_recipe_needs_no_data(
    words: list[str], kind: type[Recipe], option: dict[str, int], tmp_path: Path
) -> None:
    where = ["--data-root", str(tmp_path / "none"), "--runs", str(tmp_path / "runs")]
    result = CliRunner().invoke(main, [*words, *where, "--show-recipe"])
    assert result.exit_code == 0, result.output
    (tmp_path / "mine.yaml").write_text(result.stdout)
    found = resolve_recipe(kind, {}, str(tmp_path / "mine.yaml")).model_dump()
    assert option.items() <= found.items()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.yaml"]
