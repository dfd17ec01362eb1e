"""Parts lose their box if reflections, darkness, noise or blur hide them."""

import numpy as np
import pytest

from data_cache.synthetic.geometry.arrays import Booleans, Bytes, Floats
from data_cache.synthetic.scene.boxes import PartBox
from data_cache.synthetic.scene.wide.contrast import (
    BEHIND_GLASS,
    cabin_contrast,
    distinct_boxes,
    is_resolved,
    outside_contrast,
)

PART = PartBox(0, 6.0, 6.0, 8.0, 8.0)
COVERED = np.zeros((20, 20), np.bool_)
COVERED[6:14, 6:14] = True
NUMBERS, NOTHING = 3 * COVERED.astype(np.uint8), np.zeros((20, 20), np.uint8)


def _cabin(reflection: float) -> tuple[Booleans, Floats, Floats]:
    """Return a bright part before a dark cabin behind glass with a reflection: where it is, all light, light within."""
    behind = np.where(COVERED[..., None], 0.25, 0.05) * np.ones(3, np.float32)
    return COVERED, (behind + reflection).astype(np.float32), behind.astype(np.float32)


def _develop(light: Floats) -> Floats:
    return np.asarray(np.clip(light, 0, 1) ** (1 / 2.2))


def _kept(layers: tuple[Bytes, Bytes], light: Floats, behind: Floats, noise: float = 0.0) -> bool:
    return distinct_boxes([(3, PART)], layers, light, behind, _develop, noise) == [PART]


def test_reflections_lower_the_contrast_of_parts_in_the_cabin() -> None:
    contrasts = [cabin_contrast(*_cabin(reflection), _develop) for reflection in (0.0, 0.2, 0.6, 1.0)]
    assert contrasts == sorted(contrasts, reverse=True)
    assert contrasts[0] > 4 * BEHIND_GLASS
    assert contrasts[-1] == 0  # the glass is white


def test_a_part_like_its_surroundings_has_no_contrast() -> None:
    _, light, behind = _cabin(0.1)
    assert cabin_contrast(COVERED, light * 0 + 0.2, behind * 0 + 0.1, _develop) < 1e-6
    assert outside_contrast(COVERED, light * 0 + 0.2) < 1e-6


@pytest.mark.parametrize(("reflection", "noise", "kept"), [(0.05, 0.0, True), (1.0, 0.0, False), (0.05, 0.5, False)])
def test_parts_behind_reflections_or_noise_lose_their_box(reflection: float, noise: float, kept: bool) -> None:
    _, light, behind = _cabin(reflection)
    assert _kept((NOTHING, NUMBERS), light, behind, noise) == kept


@pytest.mark.parametrize(("part", "around", "kept"), [(0.5, 0.0, True), (0.0, 0.5, True), (0.0, 0.0, False)])
def test_parts_as_dark_as_their_surroundings_lose_their_box(part: float, around: float, kept: bool) -> None:
    light = np.where(COVERED[..., None], part, around) * np.ones(3, np.float32)
    assert _kept((NUMBERS, NOTHING), light, 0 * light) == kept


def test_something_bright_beside_a_dark_part_does_not_show_it() -> None:
    light = np.zeros((20, 20, 3), np.float32)
    light[7:9, 16] = 1.0
    assert not _kept((NUMBERS, NOTHING), light, light)


def test_a_pattern_shows_a_part() -> None:
    light = np.full((20, 20, 3), 0.2, np.float32)
    light[6:14, 6:14:2], light[6:14, 7:14:2] = 0.1, 0.3
    assert _kept((NUMBERS, NOTHING), light, light)


def test_blur_and_low_resolution_hide_small_parts() -> None:
    part = PartBox(0, 0.0, 0.0, 6.0, 4.0)
    assert [is_resolved(part, spot) for spot in (1.0, 2.0, 2.1, 5.0)] == [True, True, False, False]
