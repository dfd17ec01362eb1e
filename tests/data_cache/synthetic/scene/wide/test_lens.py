"""The lens moves part numbers as it moves the picture."""

import numpy as np

from data_cache.synthetic.scene.wide.lens import Lens, cast, cast_layer


def test_part_numbers_are_distorted_as_the_picture_is() -> None:
    lens = Lens(centre=(10.0, 5.0), distortion=0.08, defocus=0.0, motion=(0.0, 0.0), fringe=0.0, vignette=0.0)
    layer = np.zeros((120, 160), np.uint8)
    layer[10:110, 10:150] = 1
    picture = np.repeat(layer[::2, ::2, None], 3, axis=2).astype(np.float32)
    moved, numbers = cast(picture, lens)[..., 0] > 0.5, cast_layer(layer, lens, 2)[::2, ::2] > 0
    assert ((picture[..., 0] > 0.5) != moved).mean() > 0.02
    assert (moved != numbers).mean() < 0.01


def test_distortion_leaves_the_middle_of_the_picture_where_it_is() -> None:
    lens = Lens(centre=(-60.0, 90.0), distortion=0.1, defocus=0.0, motion=(0.0, 0.0), fringe=0.0, vignette=0.0)
    layer = np.zeros((120, 160), np.uint8)
    layer[58:62, 78:82] = 1
    rows, columns = np.nonzero(cast_layer(layer, lens, 2))
    assert abs(rows.mean() + 0.5 - 60) < 1 and abs(columns.mean() + 0.5 - 80) < 1


def test_blur_keeps_the_light_and_the_vignette_takes_from_the_edges() -> None:
    picture = np.zeros((40, 40, 3), np.float32)
    picture[20, 20] = 100.0
    blurred = cast(picture, Lens((20.0, 20.0), 0.0, defocus=1.5, motion=(6.0, 3.0), fringe=0.0, vignette=0.0))
    assert blurred.max() < 20 and np.isclose(blurred.sum(), picture.sum(), rtol=1e-3)
    shaded = cast(np.ones((40, 40, 3), np.float32), Lens((20.0, 20.0), 0.0, 0.0, (0.0, 0.0), 0.0, vignette=0.5))
    assert shaded[20, 20, 0] > 0.99 and np.isclose(shaded[0, 0, 0], 0.8, atol=0.01)
