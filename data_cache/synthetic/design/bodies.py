"""Body shapes, as curves in metres: s is the distance behind the front bumper, z the height above the road."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from data_cache.synthetic.geometry.arrays import Floats

NOSE_LIFT = 0.07  # height of the front bumper's lower edge above the sill

ALONG = ("axles", "more_axles", "windshield", "rear_glass", "windows", "pillars", "doors")  # fields of s values

Curve = tuple[tuple[float, float], ...]
Form = Literal["car", "van", "truck", "bus"]


@dataclass(frozen=True)
class Cargo:
    """The load space behind the cab of a truck; `kind` is one of CARGO_KINDS in wide/bodies.py."""

    kind: str
    first: float  # s of its front and its rear end
    last: float
    floor: float  # heights of its floor and of its upper edge
    top: float
    width: float

    def scaled(self, length: float, width: float, height: float) -> "Cargo":
        """Return the load space stretched along its three axes; the floor keeps its height."""
        top = self.floor + (self.top - self.floor) * height
        return replace(self, first=self.first * length, last=self.last * length, top=top, width=self.width * width)


@dataclass(frozen=True)
class BodyModel:
    """The shape of a body; `top` is its profile along the centre line, `belt` the lower edge of the windows."""

    name: str
    length: float
    width: float
    sill: float  # height of the underside
    wheel_radius: float
    axles: tuple[float, float]  # s of the front and the rear axle
    top: Curve
    belt: Curve
    windshield: tuple[float, float]  # s of its lower and upper edge
    rear_glass: tuple[float, float]  # s of its upper and lower edge
    roof_width: float  # share of the width at the belt
    windows: tuple[float, float]  # s where the side windows start and end
    pillars: tuple[float, ...]  # s between the side windows
    doors: tuple[float, ...]  # s of the door seams
    nose_width: float = 0.80  # share of the full width, at the very front
    tail_width: float = 0.88
    bonnet_width: float = 0.88  # share of the width at the belt, at which bonnet and boot lid turn down
    bed: tuple[float, float, float] | None = None  # first and last s of a pick-up's bed, and the height of its floor
    tail_lift: float = 0.09  # height of the rear bumper's lower edge above the sill
    form: Form = "car"
    more_axles: tuple[float, ...] = ()  # s of the axles behind the second one
    cargo: Cargo | None = None  # of a truck, whose other dimensions are those of the cab

    @property
    def height(self) -> float:
        """Height of the roof."""
        return max(z for _, z in self.top)

    @property
    def full_length(self) -> float:
        """Length with the load space."""
        return self.length if self.cargo is None else self.cargo.last

    @property
    def full_width(self) -> float:
        """Width with the load space."""
        return self.width if self.cargo is None else max(self.width, self.cargo.width)

    @property
    def full_height(self) -> float:
        """Height with the load space."""
        return self.height if self.cargo is None else max(self.height, self.cargo.top)

    def ahead(self, s: float) -> float:
        """Return x in vehicle axes (metres ahead of the middle) at `s`."""
        return self.full_length / 2 - s

    def top_at(self, s: Floats | float) -> Floats:
        """Return the height of the centre line at `s`."""
        return _along(self.top, s, rounding=0.16)

    def belt_at(self, s: Floats | float) -> Floats:
        """Return the height of the belt line at `s`, never above the centre line."""
        return np.asarray(np.minimum(_along(self.belt, s, rounding=0.2), self.top_at(s) - 0.015))

    def half_width_at(self, s: Floats | float) -> Floats:
        """Return half the maximum width at `s`, which narrows towards nose and tail."""
        s = np.asarray(s, dtype=np.float64)
        nose = np.clip(1 - s / 0.55, 0, 1) ** 2.6
        tail = np.clip(1 - (self.length - s) / 0.40, 0, 1) ** 2.6
        return np.asarray(self.width / 2 * (1 - (1 - self.nose_width) * nose - (1 - self.tail_width) * tail))

    def edge_at(self, s: Floats | float) -> Floats:
        """Return half the width of the upper surface (bonnet, windshield, roof, rear window, boot) at `s`."""
        shares = [self.bonnet_width, self.roof_width, self.roof_width, self.bonnet_width]
        share = np.interp(s, [*self.windshield, *self.rear_glass], shares)
        return np.asarray(share * self.half_width_at(s))

    def scaled(self, length: float, width: float, height: float) -> "BodyModel":
        """Return the body stretched along its three axes; the wheels keep their size."""

        def up(curve: Curve) -> Curve:
            return tuple((s * length, self.sill + (z - self.sill) * height) for s, z in curve)

        along: dict[str, Any] = {name: tuple(s * length for s in getattr(self, name)) for name in ALONG}
        return replace(
            self,
            length=self.length * length,
            width=self.width * width,
            top=up(self.top),
            belt=up(self.belt),
            bed=None if self.bed is None else (self.bed[0] * length, self.bed[1] * length, self.bed[2]),
            cargo=None if self.cargo is None else self.cargo.scaled(length, width, height),
            **along,
        )

    def fitted(self, ride: float, wheel: float, wheelbase: float, tail_lift: float) -> "BodyModel":
        """Return the body raised by `ride` metres with wheels scaled by `wheel` and a longer `wheelbase` (metres)."""

        def up(curve: Curve) -> Curve:
            return tuple((s, z + ride) for s, z in curve)

        return replace(
            self,
            sill=self.sill + ride,
            wheel_radius=self.wheel_radius * wheel,
            axles=(self.axles[0], self.axles[1] + wheelbase),
            more_axles=tuple(s + wheelbase for s in self.more_axles),
            top=up(self.top),
            belt=up(self.belt),
            bed=None if self.bed is None else (self.bed[0], self.bed[1], self.bed[2] + ride),
            cargo=None
            if self.cargo is None
            else replace(self.cargo, floor=self.cargo.floor + ride, top=self.cargo.top + ride),
            tail_lift=tail_lift,
        )


def _along(curve: Curve, s: Floats | float, rounding: float) -> Floats:
    """Return z at `s` on a polyline whose corners are rounded over `rounding` metres (quadratic Bezier curves)."""
    points = np.asarray(curve, dtype=np.float64)
    fine = [points[:1]]
    share = np.linspace(0, 1, 6)[:, None]
    for before, corner, after in zip(points[:-2], points[1:-1], points[2:], strict=True):
        reach = min(rounding, 0.45 * (corner[0] - before[0]), 0.45 * (after[0] - corner[0]))
        first = corner + (before - corner) * reach / (corner[0] - before[0])
        last = corner + (after - corner) * reach / (after[0] - corner[0])
        fine.append((1 - share) ** 2 * first + 2 * share * (1 - share) * corner + share**2 * last)
    dense = np.concatenate([*fine, points[-1:]])
    return np.asarray(np.interp(s, dense[:, 0], dense[:, 1]))


BODIES: dict[str, BodyModel] = {
    body.name: body
    for body in (
        BodyModel(
            "sedan", 4.70, 1.82, 0.20, 0.33, (0.92, 3.62),
            ((0, 0.66), (0.05, 0.75), (0.30, 0.82), (1.25, 0.97), (2.05, 1.40), (2.70, 1.46), (3.30, 1.41),
             (4.02, 1.08), (4.50, 1.05), (4.64, 0.98), (4.70, 0.86)),
            ((0, 0.62), (0.25, 0.74), (1.25, 0.89), (3.90, 0.97), (4.50, 0.95), (4.70, 0.80)),
            (1.25, 2.02), (3.34, 4.02), 0.70, (1.30, 3.95), (2.42, 3.36), (1.42, 2.42, 3.36),
        ),
        BodyModel(
            "hatchback", 4.05, 1.74, 0.20, 0.31, (0.80, 3.35),
            ((0, 0.68), (0.05, 0.78), (0.28, 0.86), (0.98, 1.00), (1.75, 1.44), (2.35, 1.51), (3.35, 1.45),
             (3.86, 1.08), (3.98, 0.98), (4.05, 0.80)),
            ((0, 0.62), (0.25, 0.77), (1.00, 0.91), (3.60, 1.00), (4.05, 0.78)),
            (0.98, 1.72), (3.38, 3.86), 0.72, (1.02, 3.62), (2.20, 3.02), (1.12, 2.20, 3.02), tail_width=0.86,
        ),
        BodyModel(
            "suv", 4.62, 1.88, 0.27, 0.37, (0.90, 3.58),
            ((0, 0.80), (0.05, 0.93), (0.28, 1.01), (1.20, 1.13), (1.92, 1.62), (2.50, 1.70), (4.00, 1.65),
             (4.42, 1.20), (4.54, 1.10), (4.62, 0.90)),
            ((0, 0.74), (0.25, 0.91), (1.20, 1.05), (4.20, 1.14), (4.62, 0.88)),
            (1.20, 1.90), (4.03, 4.42), 0.73, (1.26, 4.20), (2.45, 3.40), (1.36, 2.45, 3.40), nose_width=0.83,
        ),
        BodyModel(
            "van", 4.75, 1.82, 0.22, 0.33, (0.72, 3.55),
            ((0, 0.72), (0.05, 0.84), (0.22, 0.93), (0.72, 1.08), (1.50, 1.76), (2.10, 1.90), (4.30, 1.86),
             (4.58, 1.20), (4.68, 1.05), (4.75, 0.80)),
            ((0, 0.66), (0.22, 0.84), (0.75, 1.00), (4.40, 1.08), (4.75, 0.78)),
            (0.72, 1.47), (4.33, 4.58), 0.78, (0.80, 4.45), (1.75, 2.85), (0.95, 1.85, 2.90),
             nose_width=0.80, tail_width=0.92,
        ),
        BodyModel(
            "pickup", 5.20, 1.86, 0.30, 0.38, (0.93, 4.05),
            ((0, 0.82), (0.05, 0.96), (0.28, 1.03), (1.25, 1.14), (1.95, 1.66), (2.45, 1.74), (3.12, 1.70),
             (3.38, 1.12), (3.44, 1.10), (5.14, 1.10), (5.20, 1.04)),
            ((0, 0.74), (0.25, 0.92), (1.25, 1.06), (3.20, 1.08), (5.20, 1.06)),
            (1.25, 1.92), (3.14, 3.36), 0.73, (1.31, 3.22), (2.30,), (1.40, 2.32, 3.26),
             nose_width=0.83, tail_width=0.96,
            bonnet_width=0.92, bed=(3.48, 5.10, 0.86),
        ),
        BodyModel(
            "minibus", 5.60, 1.98, 0.28, 0.36, (0.95, 4.20),
            ((0, 0.82), (0.05, 1.00), (0.16, 1.12), (0.36, 1.24), (0.95, 2.08), (1.50, 2.26), (5.10, 2.24),
             (5.46, 2.14), (5.54, 1.30), (5.60, 0.90)),
            ((0, 0.72), (0.20, 1.02), (0.45, 1.16), (5.30, 1.20), (5.60, 0.86)),
            (0.36, 0.93), (5.44, 5.53), 0.84, (0.46, 5.40), (1.55, 2.55, 3.55, 4.50), (0.70, 1.60, 2.85),
             nose_width=0.84,
            tail_width=0.95, bonnet_width=0.92,
        ),
    )
}  # fmt: skip
