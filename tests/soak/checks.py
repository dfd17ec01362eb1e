"""What must hold after storage has failed: one line of error, whole files, nothing left over; a next run as usual."""

import errno
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from helpers.faults.processes import Ended
from helpers.faults.traps import Trap
from soak.trees import Tree, differences, settled, settled_tree

# what a stopped run leaves for the next one to resume from or to remove
KEPT = re.compile(r"(^|/)(\.lock|\.scratch|[^/]*\.(shards|blocks|work)|\.[^/]*\.unfinished)(/|$)")
LOCK = re.compile(r"(^|/)\.lock$")
TEMPORARY = re.compile(r"(^|/)\.[^/]*\.tmp$|^tmp/")
REMOVING = ("unlink", "rmdir", "open a folder")  # a folder is opened to be emptied


@dataclass(frozen=True)
class Fault:
    """A failing call, a limit on file sizes, something in the way, or an impossible place for `out` or `runs`."""

    kind: str
    trap: Trap
    in_the_way: Tree = field(default_factory=dict)  # below the place's work folder
    largest: int | None = None  # bytes
    elsewhere: Mapping[str, Path] = field(default_factory=dict)

    def prevents_removal(self) -> bool:
        """Return whether temporary files cannot be removed, and so may stay."""
        return self.trap.lasting or self._failed()[0] in REMOVING

    def allowed_codes(self) -> tuple[int, ...]:
        """Return the exit codes that are right; a fault seen before anything is done may count as wrong usage."""
        return (0, 1, 2) if self.in_the_way or self.elsewhere else (0, 1)

    def __str__(self) -> str:
        """Describe it for the report."""
        words = [self.kind, *self._failed(), "and all after it" if self.trap.lasting else ""]
        words += [errno.errorcode.get(self.trap.reason, ""), *list(self.in_the_way)[:1], str(self.largest or "")]
        return " ".join(filter(None, [*words, *(f"{name} {path}" for name, path in self.elsewhere.items())]))

    def _failed(self) -> tuple[str, str]:
        """Return the name and the path of the call that failed."""
        if not 0 < self.trap.at <= len(self.trap.seen):
            return "", ""
        name, path = self.trap.seen[self.trap.at - 1]
        return name, str(path)


@dataclass(frozen=True)
class Undisturbed:
    """A run without faults: the tree before and after, and its calls."""

    work: Path
    start: Tree
    wanted: Tree
    trap: Trap

    def written(self) -> list[str]:
        """Return the files that it wrote."""
        return [name for name, content in self.wanted.items() if content not in (None, self.start.get(name))]

    def new_folders(self) -> list[str]:
        """Return the folders that it made."""
        return [name for name, content in self.wanted.items() if content is None and name not in self.start]

    def allows(self, name: str, found: Tree) -> bool:
        """Return whether a path has the content from before, from after, or a whole one from in between, or none."""
        if name not in found:
            return name not in self.start or name not in self.wanted
        content = settled(name, found[name])
        versions = [tree[name] for tree in (self.start, self.wanted) if name in tree]
        versions += [one for one in self.trap.renamed.get(self.work / name, []) if isinstance(one, bytes)]
        if content in [settled(name, one) for one in versions]:
            return True
        return Path(name).name == "log.jsonl" and content in _first_lines(name, self.wanted.get(name) or b"")

    def differences(self, found: Tree) -> list[str]:
        """Return the differences from the tree after the run."""
        return differences(settled_tree(found), settled_tree(self.wanted))

    def whole_folders(self) -> list[list[str]]:
        """Return the content of each folder that appears as a whole, by renaming."""
        return [
            [(path / name).relative_to(self.work).as_posix() for name in content]
            for path, contents in self.trap.renamed.items()
            for content in contents
            if isinstance(content, frozenset)
        ]


def _first_lines(name: str, whole: bytes) -> Iterator[bytes | None]:
    """Yield a log with each number of its first lines."""
    lines = whole.splitlines(keepends=True)
    return (settled(name, b"".join(lines[:count])) for count in range(len(lines) + 1))


def wrong_after_fault(quiet: Undisturbed, fault: Fault, ended: Ended, after: Tree) -> list[str]:
    """Return what is wrong with how a run with a fault ended, and with what it left."""
    wrong = list(_wrong_ending(fault, ended))
    final = {name: content for name, content in after.items() if not (KEPT.search(name) or TEMPORARY.search(name))}
    may_stay = fault.prevents_removal()
    if ended.code == 0:
        differing = quiet.differences(final)
        wrong += [f"succeeded, but {one}" for one in differing if not (may_stay and one.endswith("was left behind"))]
    for name in {*final, *quiet.start, *quiet.wanted} - set(fault.in_the_way):
        if not quiet.allows(name, final):
            wrong.append(f"{name} is neither as before nor as after")
    for whole in quiet.whole_folders():
        if 0 < len(final.keys() & set(whole)) < len(whole):
            wrong.append(f"of {whole[0]} and others only some exist")
    if not may_stay:
        wrong += [f"{name} was left behind" for name in after if TEMPORARY.search(name)]
    return wrong


def wrong_after_rerun(
    quiet: Undisturbed, fault: Fault, before: Tree, ended: Ended, after: Tree, *, once: bool
) -> list[str]:
    """Return what is wrong after the next run, which had no fault and started from `before`.

    `once`: the command refuses to repeat finished work, and then removes nothing.
    """
    if once and all(before.get(name) == quiet.wanted[name] for name in quiet.written()):
        return [one for one in quiet.differences(after) if not one.endswith("was left behind")]
    if fault.prevents_removal():  # a run that does not need the folder again leaves its lock file, which locks nobody
        after = {name: content for name, content in after.items() if not (TEMPORARY.search(name) or LOCK.search(name))}
    wrong = [f"after the next run, {one}" for one in quiet.differences(after)]
    return [*wrong, f"the next run ended with {ended.code}: {ended.output}"] if ended.code else wrong


def _wrong_ending(fault: Fault, ended: Ended) -> Iterator[str]:
    """Yield what is wrong with exit code and message."""
    if ended.code not in fault.allowed_codes():
        yield f"ended with {ended.code}"
    if "Traceback" in ended.output or "Exception ignored" in ended.output:
        yield "a traceback"
    errors, reason = ended.error_lines(), os.strerror(fault.trap.reason)
    if ended.code and (len(errors) != 1 or not ended.output.rstrip().endswith(errors[0])):
        yield f"{len(errors)} lines of error, or not the last"
    if ended.code and fault.trap.reason and not any(reason in line for line in errors):
        yield f"the line does not give the reason, {reason!r}"
