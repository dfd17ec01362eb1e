"""Shares of the planned runs, so that several processes make one ablation at once."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """Part `index` of `count`: of the planned runs, numbered from 1, each `count`-th from number `index` on.

    The rule does not depend on what is finished, so that processes that start at different times agree. The runs of one
    seed follow each other in a plan: every share gets some of each seed.

    >>> [number for number in range(1, 11) if Share(2, 4).takes(number)]
    [2, 6, 10]
    """

    index: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        """Raise ValueError unless 1 <= index <= count."""
        if not 1 <= self.index <= self.count:
            raise ValueError(f"{self}: not 1 <= I <= N")

    def __str__(self) -> str:
        """Return "2/4"."""
        return f"{self.index}/{self.count}"

    @property
    def is_whole(self) -> bool:
        """Whether it has all runs."""
        return self.count == 1

    def takes(self, number: int) -> bool:
        """Return whether the run of that number is in the share."""
        return number % self.count == self.index % self.count


WHOLE = Share()


def parse_share(text: str) -> Share:
    """Return the share "I/N". Raises ValueError if it is none.

    >>> parse_share("1/4")
    Share(index=1, count=4)
    """
    index, _, count = text.partition("/")
    if not all(part.isascii() and part.isdecimal() and len(part) <= 6 for part in (index, count)):
        raise ValueError(f"{text}: not I/N")
    return Share(int(index), int(count))
