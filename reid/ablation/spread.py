"""Mean and standard deviation over seeds, and the difference of two means with its standard error."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Mean of `count` values and their standard deviation (n - 1), None where there is one value."""

    mean: float
    deviation: float | None
    count: int

    def __str__(self) -> str:
        """Return "79.3 ± 0.4", or "79.3" for one value."""
        return f"{self.mean:.1f}" + ("" if self.deviation is None else f" ± {self.deviation:.1f}")


@dataclass(frozen=True)
class Difference:
    """Difference of two means and its standard error, None where a mean is of one value."""

    value: float
    error: float | None

    def __str__(self) -> str:
        """Return "+1.3 ± 0.4", or "+1.3" without an error."""
        return f"{self.value:+.1f}" + ("" if self.error is None else f" ± {self.error:.1f}")


def spread_of(values: Sequence[float]) -> Spread:
    """Return mean and deviation of at least one value.

    >>> str(spread_of([77.0, 79.0, 78.0])), str(spread_of([77.0]))
    ('78.0 ± 1.0', '77.0')
    """
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


def difference(one: Spread, other: Spread) -> Difference:
    """Return `one` minus `other`; the error is that of two independent means, sqrt(s1^2 / n1 + s2^2 / n2).

    Runs of equal seed share held-out vehicles and batches, which this leaves aside: it rather overstates the error.

    >>> str(difference(Spread(79.3, 0.6, 4), Spread(78.0, 0.8, 4)))
    '+1.3 ± 0.5'
    """
    if one.deviation is None or other.deviation is None:
        return Difference(one.mean - other.mean, None)
    return Difference(one.mean - other.mean, math.sqrt(one.deviation**2 / one.count + other.deviation**2 / other.count))
