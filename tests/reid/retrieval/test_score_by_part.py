"""What the score of two images is the sum of."""

import numpy as np
import pytest

from data_cache.parts.names import PART_NAMES
from reid.recipes import PRESETS, ReidRecipe
from reid.retrieval.score_by_part import WHOLE, score_by_part

RECIPE = ReidRecipe(attention="none", features=8, part_crops=32, slot_features=4)


def features(seed: int, missing: tuple[str, ...] = ()) -> np.ndarray:
    """A random unit feature, without the slots of some parts."""
    random = np.random.default_rng(seed)
    vector = random.standard_normal(RECIPE.feature_length).astype(np.float32)
    for part in missing:
        start = 8 + 4 * PART_NAMES.index(part)
        vector[start : start + 4] = 0
    return vector / np.linalg.norm(vector)


def test_the_sum_is_the_cosine_and_only_what_both_show_is_named() -> None:
    first, second = features(0, ("plate", "wheel")), features(1, ("logo",))
    scores = score_by_part(RECIPE, first, second)
    assert scores[0].part == WHOLE
    assert {score.part for score in scores[1:]} == set(PART_NAMES) - {"plate", "wheel", "logo"}
    assert sum(score.added for score in scores) == pytest.approx(float(first @ second), abs=1e-6)
    sizes = [abs(score.added) for score in scores[1:]]
    assert sizes == sorted(sizes, reverse=True)


def test_a_kind_has_the_cosine_of_its_slots() -> None:
    first, second = features(2), features(3)
    found = {score.part: score for score in score_by_part(RECIPE, first, second)}
    for number, part in enumerate(PART_NAMES):
        one, other = (vector[8 + 4 * number : 12 + 4 * number].astype(float) for vector in (first, second))
        assert found[part].added == pytest.approx(float(one @ other), abs=1e-6)
        cosine = float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
        assert found[part].similarity == pytest.approx(cosine, abs=1e-5)


def test_an_image_and_itself_are_alike_in_everything() -> None:
    own = features(4, ("hanging",))
    scores = score_by_part(RECIPE, own, own)
    assert len(scores) == len(PART_NAMES)
    assert all(score.similarity == pytest.approx(1, abs=1e-5) and score.added > 0 for score in scores)


def test_images_without_a_common_part_have_the_whole_alone() -> None:
    own, bare = features(5), features(6, PART_NAMES)
    (whole,) = score_by_part(RECIPE, own, bare)
    assert whole.part == WHOLE and whole.added == pytest.approx(float(own @ bare), abs=1e-6)


@pytest.mark.parametrize("name", ["pgan", "baseline", "grid"])
def test_other_networks_have_one_score_without_parts(name: str) -> None:
    assert score_by_part(PRESETS[name], features(0), features(1)) == []
