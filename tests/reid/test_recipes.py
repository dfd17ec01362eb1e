"""Recipes of stage two: the presets have the paper's settings, and errors name the option."""

import json

import pytest

from data_cache.base.config import resolve_recipe
from data_cache.base.errors import UserError
from data_cache.parts.selection import BoxChoice
from reid.recipes import PRESETS, ReidRecipe


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


def test_an_option_of_a_later_version_leaves_dumps_as_they_were_while_it_is_not_used() -> None:
    assert "parts_per_label" not in PRESETS["pgan"].model_dump(mode="json")
    varied = resolve_recipe(ReidRecipe, PRESETS, "pgan", ["parts_per_label=2"])
    assert varied.model_dump(mode="json") == {**PRESETS["pgan"].model_dump(mode="json"), "parts_per_label": 2}
    assert ReidRecipe.model_validate(varied.model_dump()) == varied
    assert varied.box_choice == BoxChoice(8, 2, "confident") and not varied.box_choice.is_by_confidence
    first = resolve_recipe(ReidRecipe, PRESETS, "pgan", ["parts_first=varying"])
    assert first.model_dump(mode="json") == {**PRESETS["pgan"].model_dump(mode="json"), "parts_first": "varying"}
