"""Paint all skins of a vehicle of the variety `wide`."""

from data_cache.synthetic.vehicle.canvas import Canvas
from data_cache.synthetic.vehicle.sides import paint_damages
from data_cache.synthetic.vehicle.wide.cargo_skin import paint_cargo
from data_cache.synthetic.vehicle.wide.dirt import paint_dirt
from data_cache.synthetic.vehicle.wide.front import paint_front
from data_cache.synthetic.vehicle.wide.rear import paint_rear
from data_cache.synthetic.vehicle.wide.sides import paint_roof, paint_sides


def paint_wide(canvas: Canvas) -> None:
    """Paint all skins, back to front; at the rear of a truck is its load space."""
    lamps = paint_front(canvas)
    if canvas.body.cargo is None:
        lamps |= paint_rear(canvas)
    paint_sides(canvas, lamps)
    if canvas.body.cargo is not None:
        paint_cargo(canvas)
    paint_roof(canvas)
    paint_damages(canvas)
    paint_dirt(canvas)
