"""The left, right and top skins of the variety `wide`."""

import numpy as np

from data_cache.synthetic.geometry.atlas import Colour, Material, Point, rectangle
from data_cache.synthetic.vehicle.canvas import BLACK, CHROME, Canvas, darker, details_of
from data_cache.synthetic.vehicle.sides import Side, paint_top
from data_cache.synthetic.vehicle.wide.lamps import cover_colours, head_lamp, tail_lamp


def paint_sides(canvas: Canvas, lamps: dict[str, tuple[int, int]]) -> None:
    """Paint the left and right skins; `lamps` maps "front left" and so on to the part numbers (cover, light)."""
    for name, sign in (("left", 1), ("right", -1)):
        side = Side(canvas, canvas.skin(name), sign)
        side.skin.fill(canvas.design.paint, Material.PAINT)
        _paint_colours(side)
        side.paint_windows()
        _paint_pillars(side)
        side.paint_doors()
        if canvas.body.form == "bus" and sign == -1:
            _paint_bus_doors(side)
        _paint_handles(side)
        side.paint_lower_edge()
        _paint_wraps(side, lamps[f"front {name}"], lamps.get(f"rear {name}"))
        if canvas.body.cargo is None:
            side.paint_stickers()
            _paint_advert(side)


def paint_roof(canvas: Canvas) -> None:
    """Paint the top skin: as for fleets, but with a second colour if the vehicle has one."""
    paint_top(canvas)
    colour, body = details_of(canvas).roof, canvas.body
    if colour is None or canvas.individual.top_window != "none":
        return
    first, last = body.windshield[1] - 0.05, body.rear_glass[0] + 0.05
    roof = rectangle((body.ahead((first + last) / 2), 0.0), (last - first, 1.1 * body.width))
    canvas.skin("top").polygon(roof, colour, Material.PAINT)


def _paint_colours(side: Side) -> None:
    """Paint the second colour of the lower body and a stripe."""
    body, style = side.body, details_of(side.canvas).side
    belt = float(body.belt_at(body.length / 2))
    if style.lower is not None:
        z = body.sill + 0.42 * (belt - body.sill)
        side.polygon([(0, 0), (body.length, 0), (body.length, z), (0, z)], style.lower, Material.PAINT)
    if style.stripe is not None:
        colour, share, width = style.stripe
        z = body.sill + share * (belt - body.sill)
        side.line([(0.0, z), (body.length, z)], colour, width)


def _paint_pillars(side: Side) -> None:
    """Paint the roof's colour above the windows of a two-tone car."""
    colour, body = details_of(side.canvas).roof, side.body
    if colour is None:
        return
    s = np.linspace(body.windshield[1] - 0.05, body.rear_glass[0] + 0.15, 30)
    low = body.belt_at(s) + 0.89 * (body.top_at(s) - body.belt_at(s))
    edge: list[Point] = [(float(a), float(b)) for a, b in zip(s, low, strict=True)]
    side.polygon([*edge, (float(s[-1]), body.height + 0.1), (float(s[0]), body.height + 0.1)], colour, Material.PAINT)


def _paint_bus_doors(side: Side) -> None:
    """Paint the glass doors on the kerb side of a bus."""
    body = side.body
    low, high = body.sill + 0.08, body.sill + 0.72 * (body.height - body.sill)
    middle = body.axles[0] + 0.45 * (body.axles[1] - body.axles[0])
    starts = [(0.62, 0.95)] if body.name == "coach" else [(0.55, 1.05), (middle, 1.25)]
    for start, width in starts:
        for leaf in (start + 0.25 * width, start + 0.75 * width):
            frame = rectangle((leaf, (low + high) / 2), (0.5 * width, high - low))
            side.polygon(frame, BLACK, Material.MATTE)
            pane = rectangle((leaf, (low + high) / 2), (0.5 * width - 0.09, high - low - 0.12))
            side.polygon(pane, side.canvas.design.glass.side, Material.GLASS_SIDE)


def _paint_handles(side: Side) -> None:
    """Repaint the door handles, or hide them flush in the doors."""
    kind, body, paint = details_of(side.canvas).side.handles, side.body, side.paint
    if body.form == "bus":
        return
    colours: dict[str, Colour] = {"painted": darker(paint, 1.08), "chrome": CHROME, "black": BLACK, "flush": paint}
    for door in body.doors[1:]:
        spot = (door - 0.17, float(body.belt_at(door)) - 0.115)
        if kind == "flush":
            side.polygon(rectangle(spot, (0.22, 0.07)), paint, Material.PAINT)
            continue
        side.polygon(rectangle(spot, (0.18, 0.028)), colours[kind], Material.METAL)


def _paint_wraps(side: Side, front: tuple[int, int], rear: tuple[int, int] | None) -> None:
    """Paint the parts of head and tail lamps that wrap around the corners."""
    canvas = side.canvas
    lamps, covers = details_of(canvas).lamps, cover_colours(canvas)
    if lamps.wrap[0] > 0.04:
        light = darker(lamps.housing, 0.9 if lamps.optics in ("projectors", "dots", "strip") else 1.4)
        side.paint_wrap(head_lamp(canvas)[0], (0.0, lamps.wrap[0]), front, (covers[0], light))
    if rear is not None and lamps.wrap[1] > 0.04:
        ends = (side.body.length, side.body.length - lamps.wrap[1])
        red = darker(lamps.red, 0.55) if lamps.smoked else lamps.red
        side.paint_wrap(tail_lamp(canvas)[0], ends, rear, (covers[1], red), Material.TAIL)


def _paint_advert(side: Side) -> None:
    """Paint an advertisement or the operator's name on a van or bus."""
    body, advert = side.body, details_of(side.canvas).side.advert
    if advert is None or body.form == "car":
        return
    first, last = max(body.axles[0] + 0.9, 2.3), body.axles[1] - 0.6
    belt = float(body.belt_at((first + last) / 2))
    windowless = body.windows[1] < first + 0.3
    low, high = body.sill + 0.35, (body.height - 0.35 if windowless else belt - 0.08)
    if last - first < 0.5 or high - low < 0.15:
        return
    centre = ((first + last) / 2, (low + high) / 2)
    if advert.shape != "letters":
        side.polygon(rectangle(centre, (last - first, 0.8 * (high - low))), advert.ground, Material.PAINT)
    ink = advert.ground if advert.shape == "letters" else advert.ink
    side.lettering(advert.text, centre, (0.8 * (last - first), 0.4 * (high - low)), ink)
