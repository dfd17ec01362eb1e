"""Whether a part can be told from its surroundings in the final picture: not behind reflections, not in the dark."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from data_cache.synthetic.geometry.arrays import Booleans, Bytes, Floats
from data_cache.synthetic.scene.boxes import PartBox

BEHIND_GLASS = 0.05  # least contrast of a part behind the windshield, in display values from 0 to 1
ANYWHERE = 0.06  # least contrast of any other part
NOISE_FACTOR = 1.2  # the contrast must also exceed this many standard deviations of the noise
LEAST_SPOTS = 6.0  # area of the smallest part, in spots of the camera
RING = 0.35  # width of the ring around a part, as a share of its size


def cabin_contrast(covered: Booleans, light: Floats, behind: Floats, develop: Callable[[Floats], Floats]) -> float:
    """Return how much a part behind glass stands out, in display values.

    `covered` (H, W) is where the part is visible, `light` (H, W, 3) the light of a window around it, and `behind` the
    share of that light that comes through the glass. The part's pixels are compared with what they would show if the
    cabin there looked like the mean of its surroundings
    behind the glass; the result is the root mean square of the differences.
    Reflections are on both sides of the comparison, so a strong reflection, which leaves little of the range of
    display values, lowers the contrast.
    """
    around = ~covered & (behind > 0).any(axis=2)
    if not around.any():
        return 0.0
    replaced = light[covered] - behind[covered] + behind[around].mean(axis=0)
    difference = develop(light[covered][None]) - develop(replaced[None])
    return float(np.sqrt(np.square(difference).mean(axis=(0, 1)).max()))


def range_of_display(value: Floats) -> float:
    """Return the largest range, over red, green and blue, of display values (H, W, 3) without their extremes."""
    low, high = np.percentile(value.reshape(-1, 3), (5, 95), axis=0)
    return float((high - low).max())


def is_resolved(box: PartBox, spot_px: float) -> bool:
    """Whether a part is larger than what a camera whose sharpest spot is `spot_px` pixels wide can show."""
    return box.width * box.height >= LEAST_SPOTS * spot_px**2


def distinct_boxes(
    boxes: Sequence[tuple[PartBox, Bytes | None, int]],
    value: Floats,
    light: Floats,
    behind: Floats,
    develop: Callable[[Floats], Floats],
    noise: float,
) -> list[PartBox]:
    """Return the boxes of the parts that stand out; `value` (H, W, 3) is the picture before noise.

    Each box comes with its part number and, for parts behind glass, the layer (H, W) of these numbers.
    """
    kept = []
    for box, layer, number in boxes:
        window = _window(box, value.shape[:2])
        if layer is None:
            distinct = range_of_display(value[window]) >= max(ANYWHERE, NOISE_FACTOR * noise)
        else:
            covered = layer[window] == number
            contrast = cabin_contrast(covered, light[window], behind[window], develop) if covered.any() else 0.0
            distinct = contrast >= max(BEHIND_GLASS, NOISE_FACTOR * noise)
        if distinct:
            kept.append(box)
    return kept


def _window(box: PartBox, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return rows and columns of a box and the ring around it."""
    across, down = 1 + RING * box.width, 1 + RING * box.height
    rows = slice(max(0, int(box.y - down)), min(shape[0], int(np.ceil(box.y + box.height + down))))
    columns = slice(max(0, int(box.x - across)), min(shape[1], int(np.ceil(box.x + box.width + across))))
    return rows, columns


def shrink_layer(layer: Bytes, width: int, height: int) -> Bytes:
    """Return part numbers at the size of the picture."""
    return np.asarray(cv2.resize(layer, (width, height), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
