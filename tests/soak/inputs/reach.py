"""Which lines of a module an input reaches: what makes one worth keeping, as fuzzers do that are guided by coverage."""

import sys
from collections.abc import Callable, Collection
from types import FrameType, ModuleType
from typing import Any

Lines = set[tuple[str, int]]


def lines_reached(modules: Collection[ModuleType], call: Callable[[], object]) -> Lines:
    """Call `call`, which is to raise nothing, and return the lines of `modules` that ran, as (file, number).

    Only frames of these modules are traced line by line; what they call runs at its own speed.
    """
    files = {module.__file__ for module in modules}
    reached: Lines = set()

    def line(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            reached.add((frame.f_code.co_filename, frame.f_lineno))
        return line

    def frame_begins(frame: FrameType, event: str, _: Any) -> Any:
        return line if frame.f_code.co_filename in files else None

    before = sys.gettrace()
    sys.settrace(frame_begins)
    try:
        call()
    finally:
        sys.settrace(before)
    return reached
