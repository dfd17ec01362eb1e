"""How long the remaining runs of an ablation take, at the rate of runs before."""

from dataclasses import dataclass


@dataclass
class Pace:
    """Augmented images that runs were trained on, and how long that took."""

    images: int = 0
    seconds: float = 0.0

    def add(self, images: int, seconds: float) -> None:
        """Count a run."""
        self.images += images
        self.seconds += seconds

    def time_for(self, images: int) -> str | None:
        """Return how long training on so many images takes, as `duration` says it; None if nothing is measured.

        >>> Pace(1000, 50.0).time_for(3000), Pace().time_for(3000)
        ('2 min 30 s', None)
        """
        return duration(images * self.seconds / self.images) if self.images else None


def duration(seconds: float) -> str:
    """Return "3 h 07 min", or "4 min 12 s" below an hour.

    >>> duration(11_220), duration(252.4)
    ('3 h 07 min', '4 min 12 s')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {rest} s"
