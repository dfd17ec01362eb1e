"""Recipes of stage two: the presets have the paper's settings, and errors name the option."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from data_cache.base.config import recipe_text, resolve_recipe
from data_cache.base.errors import UserError
from data_cache.parts.selection import BoxChoice
from helpers.places.reid import ONE_EPOCH, Place
from reid.model.checkpoint import read_checkpoint
from reid.recipes import PRESETS, ReidRecipe, recipe_for
from reid.runs import BEST, parts_path


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("lamda=2", "unknown option lamda; did you mean lambda?"),
        ("identity_weight=2", "unknown option identity_weight"),
        ("epoch=2", "did you mean epochs?"),
        ("epochs=0", "epochs"),
        ("epochs=ten", "epochs"),
        ("image_size=225", "image_size"),
        ("attention=part", "attention"),
        ("triplets=[fusion, globl]", "triplets"),
        ("holdout=0.7", "holdout"),
        ("learning_rate=.nan", "learning_rate"),
        ("learning_rate=.inf", "learning_rate"),
        ("margin", "key=value"),
    ],
)
def test_a_wrong_option_or_value_is_named(override: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve_recipe(ReidRecipe, PRESETS, "pgan", [override])
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_the_baseline_refuses_triplets_without_its_only_vector() -> None:
    with pytest.raises(UserError, match=r"baseline: triplets: .*use \[fusion\] or \[\]"):
        resolve_recipe(ReidRecipe, PRESETS, "baseline", ["triplets=[part]"])
    for triplets in ([], ["fusion"], ["fusion", "part"]):
        found = resolve_recipe(ReidRecipe, PRESETS, "baseline", [f"triplets={json.dumps(triplets)}"])
        assert found.triplets == tuple(triplets)


def test_presets_are_the_papers_settings_with_a_small_version_each() -> None:
    with pytest.raises(UserError, match=r"unknown recipe pgn; did you mean pgan\?"):
        resolve_recipe(ReidRecipe, PRESETS, "pgn")
    paper = PRESETS["pgan"]
    assert (paper.trunk, paper.image_size, paper.parts, paper.features) == ("resnet50", 224, 8, 512)
    assert (paper.vehicles_per_batch * paper.images_per_vehicle, paper.vehicles_per_batch) == (64, 16)
    assert (paper.learning_rate, paper.weight_decay, paper.epochs, paper.warmup_epochs) == (1.75e-4, 5e-4, 130, 10)
    assert (paper.flip, paper.erase, paper.identity_weight, paper.margin) == (0.5, 0.5, 2.0, 0.3)
    for name in ("pgan", "pgan_no_pam", "grid", "baseline"):
        small = PRESETS[f"{name}_small"]
        assert small.attention == PRESETS[name].attention and small.trunk == "resnet18"
        assert ReidRecipe(**json.loads(json.dumps(small.model_dump(mode="json")))) == small


def test_lambda_is_1_on_vehicleid_and_2_elsewhere_unless_it_is_given(tmp_path: Path) -> None:
    for name, preset in PRESETS.items():
        for dataset in ("veri", "vric", "veriwild", "synthetic", "folder", "vehicleid2"):
            assert recipe_for(dataset, name) == preset
        expected = 4.0 if name.startswith("strong") else 1.0  # a preset that sets it keeps it
        assert recipe_for("vehicleid", name) == preset.model_copy(update={"identity_weight": expected})
    assert recipe_for("vehicleid", "pgan", ["lambda=2"]) == PRESETS["pgan"]
    file = tmp_path / "mine.yaml"
    for text, expected in (("epochs: 3", 1.0), ("lambda: 2", 2.0), ("lambda: 0.5", 0.5)):
        file.write_text(text)
        assert recipe_for("vehicleid", str(file)).identity_weight == expected
        assert recipe_for("vehicleid", str(file), ["lambda=4"]).identity_weight == 4.0
    file.write_text("epochs: 3")
    assert recipe_for("veri", str(file)) == ReidRecipe(epochs=3)
    with pytest.raises(UserError, match="did you mean lambda"):
        recipe_for("vehicleid", "pgan", ["lamda=1"])


@pytest.mark.parametrize(("options", "expected"), [([], 1.0), (["--set", "lambda=2"], 2.0)])
def test_show_recipe_prints_what_train_uses_on_the_data_set(
    place: Place, tiny: None, tmp_path: Path, options: list[str], expected: float
) -> None:
    """A CSV file of that name stands in for VehicleID."""
    table = Path(shutil.copy(place.toy.dataset.root / "images.csv", tmp_path / "vehicleid.csv"))
    parts = ["--parts", str(parts_path(place.runs, "folder"))]
    words = ["--dataset", str(table), *parts, "--recipe", "pgan", *ONE_EPOCH, *options]
    shown = place("train", *words, "--show-recipe")
    assert shown.stdout.startswith("# pgan on vehicleid.") and f"\nlambda: {expected}  # weight" in shown.stdout
    file = tmp_path / "mine.yaml"
    file.write_text(shown.stdout)
    trained = place("train", *words)
    assert trained.exit_code == 0, trained.output
    recipe = read_checkpoint(place.runs / "vehicleid" / "pgan" / BEST).recipe
    assert recipe.identity_weight == expected
    assert recipe_for("vehicleid", str(file)) == recipe_for("veri", str(file)) == recipe


def test_an_option_of_a_later_version_leaves_dumps_as_they_were_while_it_is_not_used() -> None:
    assert "parts_per_label" not in PRESETS["pgan"].model_dump(mode="json")
    varied = resolve_recipe(ReidRecipe, PRESETS, "pgan", ["parts_per_label=2"])
    assert varied.model_dump(mode="json") == {**PRESETS["pgan"].model_dump(mode="json"), "parts_per_label": 2}
    assert ReidRecipe.model_validate(varied.model_dump()) == varied
    assert varied.box_choice == BoxChoice(8, 2, "confident") and not varied.box_choice.is_by_confidence
    first = resolve_recipe(ReidRecipe, PRESETS, "pgan", ["parts_first=varying"])
    assert first.model_dump(mode="json") == {**PRESETS["pgan"].model_dump(mode="json"), "parts_first": "varying"}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("metric_loss", "circle"),
        ("circle_margin", 0.4),
        ("circle_scale", 96.0),
        ("identity_loss", "arcface"),
        ("arc_margin", 0.05),
        ("arc_scale", 16.0),
        ("label_smoothing", 0.1),
        ("average", 0.999),
    ],
)
def test_options_of_losses_and_averaging_are_in_no_dump_until_they_are_used(
    tmp_path: Path, option: str, value: str | float
) -> None:
    plain = PRESETS["pgan_small"].model_dump(mode="json")
    assert option not in plain
    used = resolve_recipe(ReidRecipe, PRESETS, "pgan_small", [f"{option}={value}"])
    assert used.model_dump(mode="json") == {**plain, option: value}
    assert ReidRecipe.model_validate_json(used.model_dump_json()) == used
    default = ReidRecipe.model_fields[option].default
    assert resolve_recipe(ReidRecipe, PRESETS, "pgan_small", [f"{option}={default}"]).model_dump(mode="json") == plain
    file = tmp_path / "mine.yaml"
    for recipe in (used, PRESETS["pgan_small"]):
        file.write_text(recipe_text(recipe, "mine"))
        assert f"\n{option}: " in file.read_text()
        assert resolve_recipe(ReidRecipe, PRESETS, str(file)) == recipe


@pytest.mark.parametrize(
    "override",
    [
        *("label_smoothing=1.1", "average=1", "average=-0.1", "arc_margin=1.2", "arc_scale=0", "circle_margin=1"),
        *("circle_scale=0", "metric_loss=arcface", "identity_loss=circle"),
    ],
)
def test_a_loss_or_an_average_out_of_range_is_refused(override: str) -> None:
    with pytest.raises(UserError, match=f"pgan: {override.partition('=')[0]}: "):
        resolve_recipe(ReidRecipe, PRESETS, "pgan", [override])


def test_the_presets_of_version_0_4_have_the_json_of_version_0_4() -> None:
    names = [f"{name}{size}" for size in ("", "_small") for name in ("pgan", "pgan_no_pam", "grid", "baseline")]
    dumps = {name: PRESETS[name].model_dump(mode="json") for name in [*names, "demo"]}
    digest = hashlib.sha256(json.dumps(dumps).encode()).hexdigest()
    assert digest == "300d175829f4a1e65457870b7b59468a61228616afe44599b3360cf681054b89"


@pytest.mark.parametrize("trunk", ["resnet50_ibn_a", "timm/vit_small_patch16_dinov3.lvd1689m", "timm/convnext_atto"])
def test_backbones_by_name(trunk: str) -> None:
    recipe = resolve_recipe(ReidRecipe, PRESETS, "pgan", [f"trunk={trunk}", "pooling=gem"])
    assert recipe.model_dump(mode="json") == PRESETS["pgan"].model_dump(mode="json") | {
        "trunk": trunk,
        "pooling": "gem",
    }
    assert ReidRecipe.model_validate(recipe.model_dump()) == recipe


@pytest.mark.parametrize(
    "trunk",
    ["resnet51", "timm/", "timm/hf-hub:a/b", "timm/../b", "timm/local-dir:/x", "hf/a", "TIMM/a", "timm/a.b.c"],
)
def test_a_name_that_is_no_backbone_is_refused(trunk: str) -> None:
    with pytest.raises(UserError, match=r"pgan: trunk: .*resnet50_ibn_b, mobilenet_v2, and timm/NAME"):
        resolve_recipe(ReidRecipe, PRESETS, "pgan", [f"trunk={trunk}"])
