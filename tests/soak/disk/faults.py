"""Something that storage may do to a command."""

import errno
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from soak.disk.traps import Trap
from soak.inputs.trees import Tree

REMOVING = ("unlink", "rmdir", "open a folder")  # a folder is opened to be emptied


@dataclass(frozen=True)
class Fault:
    """A call that fails, files that may not be longer, something in the way, or another place for `out` or `runs`."""

    kind: str
    trap: Trap
    in_the_way: Tree = field(default_factory=dict)  # below the place's work
    longest: int | None = None  # bytes
    elsewhere: Mapping[str, Path] = field(default_factory=dict)

    def keeps_from_removing(self) -> bool:
        """Whether temporary files cannot be removed, so that they may stay."""
        return self.trap.lasting or self._failed()[0] in REMOVING

    def spoils_a_picture(self) -> bool:
        """Whether it is a picture that cannot be opened."""
        name, path = self._failed()
        return name == "open" and path.endswith((".jpg", ".png"))

    def may_be_wrong_usage(self) -> bool:
        """Whether it may be seen before anything is done: then the command ends with 2."""
        return bool(self.in_the_way or self.elsewhere)

    def __str__(self) -> str:
        """Tell it, for what is found."""
        name, path = self._failed()
        failed = f"{name} {path}".strip() + (" and all after it" if self.trap.lasting else "")
        told = [self.kind, failed, errno.errorcode.get(self.trap.reason, ""), next(iter(self.in_the_way), "")]
        told += [str(self.longest or ""), next((f"{where} {path}" for where, path in self.elsewhere.items()), "")]
        return " ".join(filter(None, told))

    def _failed(self) -> tuple[str, str]:
        """Return the call that failed, and on what."""
        if not 0 < self.trap.at <= len(self.trap.seen):
            return "", ""
        name, path = self.trap.seen[self.trap.at - 1]
        return name, str(path)
