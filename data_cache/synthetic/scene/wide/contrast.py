"""Whether a part can be told from its surroundings in the final picture: not behind reflections, not in the dark."""

from collections.abc import Callable, Sequence

import numpy as np

from data_cache.synthetic.geometry.arrays import Booleans, Bytes, Floats
from data_cache.synthetic.scene.boxes import PartBox

BEHIND_GLASS = 0.05  # least contrast of a part behind the windshield, in display values from 0 to 1
ANYWHERE = 0.06  # least contrast of any other part
NOISE_FACTOR = 1.2  # the contrast must also exceed this many standard deviations of the noise
LEAST_SPOTS = 6.0  # area of the smallest part, in spots of the camera
RING = 0.35  # width of the ring around a part, as a share of its size


def is_resolved(box: PartBox, spot_px: float) -> bool:
    """Whether a part is larger than what a camera whose sharpest spot is `spot_px` pixels wide can show."""
    return box.width * box.height >= LEAST_SPOTS * spot_px**2


def distinct_boxes(
    boxes: Sequence[tuple[int, PartBox]],
    layers: Sequence[Bytes],
    light: Floats,
    behind: Floats,
    develop: Callable[[Floats], Floats],
    noise: float,
) -> list[PartBox]:
    """Return the boxes of the parts that stand out, given each box with its part number.

    `layers` (H, W) are the part numbers, the last of them behind the windshield, `light` (H, W, 3) is the light on the
    sensor and `behind` the share of it that comes through glass. `develop` turns light into display
    values, to which noise of standard deviation `noise` will be added.
    """
    kept = []
    for number, box in boxes:
        window = _window(box, light.shape[:2])
        covered = [layer[window] == number for layer in layers]
        if covered[-1].any():
            contrast, least = cabin_contrast(covered[-1], light[window], behind[window], develop), BEHIND_GLASS
        else:
            contrast, least = outside_contrast(np.any(covered, axis=0), develop(light[window])), ANYWHERE
        if contrast >= max(least, NOISE_FACTOR * noise):
            kept.append(box)
    return kept


def _window(box: PartBox, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return rows and columns of a box and the ring around it."""
    across, down = 1 + RING * box.width, 1 + RING * box.height
    rows = slice(max(0, int(box.y - down)), min(shape[0], int(np.ceil(box.y + box.height + down))))
    columns = slice(max(0, int(box.x - across)), min(shape[1], int(np.ceil(box.x + box.width + across))))
    return rows, columns


def outside_contrast(covered: Booleans, value: Floats) -> float:
    """Return how much a part stands out: by its own pattern, or by its mean from a quarter of what is around it.

    `covered` (H, W) is where the part is visible, `value` (H, W, 3) are the display values of a window around it.
    """
    if covered.all() or not covered.any():
        return range_of_display(value) if covered.any() else 0.0
    difference = np.abs(value[~covered] - value[covered].mean(axis=0)).max(axis=1)
    return max(range_of_display(value[covered]), float(np.percentile(difference, 75)))


def range_of_display(value: Floats) -> float:
    """Return the largest range, over red, green and blue, of display values (..., 3) without their extremes."""
    low, high = np.percentile(value.reshape(-1, 3), (5, 95), axis=0)
    return float((high - low).max())


def cabin_contrast(covered: Booleans, light: Floats, behind: Floats, develop: Callable[[Floats], Floats]) -> float:
    """Return how much a part behind glass stands out, in display values; arguments are those of a window around it.

    The part's pixels are compared with what they would show if the cabin there looked like the mean of its
    surroundings behind the glass; the result is the root mean square of the differences. Reflections are on both sides
    of the comparison, so a strong reflection, which leaves little of the range of display values, lowers the contrast.
    """
    around = ~covered & (behind > 0).any(axis=2)
    if not around.any():
        return 0.0
    replaced = light[covered] - behind[covered] + behind[around].mean(axis=0)
    difference = develop(light[covered][None]) - develop(replaced[None])
    return float(np.sqrt(np.square(difference).mean(axis=(0, 1)).max()))
