"""A kind of file that users give, as the fuzzer sees it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from soak.inputs.mutation import Mutate, spoil_bytes


@dataclass(frozen=True)
class Target:
    """`make` gives sound files by name, `read` reads the folder they lie in, `spoil` changes one of them.

    `modules` are those whose lines count as reached. Only the files named in `spoilt` are changed; () is all of them.
    """

    make: Callable[[], Mapping[str, bytes]]
    read: Callable[[Path], object]
    modules: tuple[ModuleType, ...]
    spoil: Mutate = spoil_bytes
    spoilt: tuple[str, ...] = ()
