"""What must hold after storage has failed: one line of error, whole files, nothing left over; a next run as ever."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from helpers.faults.detection import Ended
from soak.disk.faults import Fault
from soak.disk.traps import Trap
from soak.inputs.trees import Tree, differences, settled

# what a stopped run leaves for the next one to go on from, or to take away
KEPT = re.compile(r"(^|/)(\.lock|\.scratch|[^/]*\.(shards|blocks|work)|\.[^/]*\.unfinished)(/|$)")
TEMPORARY = re.compile(r"(^|/)\.[^/]*\.tmp$|^tmp/")


@dataclass(frozen=True)
class Undisturbed:
    """A run with nothing in its way: what lay there before and after, and its calls."""

    work: Path
    start: Tree
    wanted: Tree
    trap: Trap

    def made(self) -> list[str]:
        """The files that it wrote."""
        return [name for name, content in self.wanted.items() if content is not None and self._new(name)]

    def new_folders(self) -> list[str]:
        """The folders that it made."""
        return [name for name, content in self.wanted.items() if content is None and name not in self.start]

    def _new(self, name: str) -> bool:
        return name not in self.start or self.start[name] != self.wanted[name]

    def allows(self, name: str, found: Tree) -> bool:
        """Whether what is at a name is as before, as after, or as it was meanwhile, whole; or was not there then."""
        if name not in found:
            return name not in self.start or name not in self.wanted
        content = settled(name, found[name])
        times = [tree[name] for tree in (self.start, self.wanted) if name in tree]
        times += [put for put in self.trap.put.get(self.work / name, []) if isinstance(put, bytes)]
        if content in [settled(name, one) for one in times]:
            return True
        return Path(name).name == "log.jsonl" and content in _begun(name, self.wanted.get(name) or b"")

    def wholes(self) -> list[list[str]]:
        """The content of each folder that is put in its place as a whole."""
        return [
            [(path / name).relative_to(self.work).as_posix() for name in content]
            for path, put in self.trap.put.items()
            for content in put
            if isinstance(content, frozenset)
        ]


def _begun(name: str, whole: bytes) -> Iterator[bytes | None]:
    """Yield a log with each number of its first lines, none of them cut short."""
    lines = whole.splitlines(keepends=True)
    return (settled(name, b"".join(lines[:count])) for count in range(len(lines) + 1))


def lost_at_once(quiet: Undisturbed, fault: Fault, ended: Ended, after: Tree, *, tells: bool) -> list[str]:
    """Return what is wrong with how a run with a fault ended, and with what it left.

    `tells`: of a picture that cannot be opened its result tells.
    """
    wrong = list(_wrongly_told(fault, ended))
    final = {name: content for name, content in after.items() if not _for_the_moment(name)}
    stays = fault.keeps_from_removing()
    if tells and ended.code == 0 and fault.spoils_a_picture():
        return wrong
    if ended.code == 0:
        told = [one for one in differences(final, quiet.wanted) if not (stays and one.endswith("is there"))]
        wrong += [f"ended well, but {one}" for one in told]
    for name in {*final, *quiet.start, *quiet.wanted} - set(fault.in_the_way):
        if not quiet.allows(name, final):
            wrong.append(f"{name} is neither as before nor as after")
    for whole in quiet.wholes():
        there = [name for name in whole if name in final]
        if there and len(there) < len(whole):
            wrong.append(f"{there[0]} and others are there, but not all")
    if not stays:
        wrong += [f"{name} is left over" for name in after if TEMPORARY.search(name)]
    return wrong


def lost_in_the_end(
    quiet: Undisturbed, fault: Fault, before: Tree, ended: Ended, after: Tree, *, once: bool
) -> list[str]:
    """Return what is wrong after the next run, which nothing disturbed; `before` is what it found.

    `once`: the command refuses what it has done already, and then takes nothing away.
    """
    if once and not any(name not in before or before[name] != quiet.wanted[name] for name in quiet.made()):
        return [one for one in differences(after, quiet.wanted) if not one.endswith("is there")]
    if fault.keeps_from_removing():
        after = {name: content for name, content in after.items() if not TEMPORARY.search(name)}
    wrong = [f"after the next run, {one}" for one in differences(after, quiet.wanted)]
    if ended.code:
        wrong.append(f"the next run ended with {ended.code}: {ended.told}")
    return wrong


def _for_the_moment(name: str) -> bool:
    return bool(KEPT.search(name) or TEMPORARY.search(name))


def _wrongly_told(fault: Fault, ended: Ended) -> Iterator[str]:
    """Yield what is wrong with exit code and message."""
    if ended.code not in ((0, 1, 2) if fault.may_be_wrong_usage() else (0, 1)):
        yield f"ended with {ended.code}"
    if "Traceback" in ended.told or "Exception ignored" in ended.told:
        yield "a traceback"
    errors = [line for line in ended.told.splitlines() if line.startswith("Error: ")]
    if ended.code and (len(errors) != 1 or not ended.told.rstrip().endswith(errors[0])):
        yield f"{len(errors)} lines of error, or not the last"
    reason = os.strerror(fault.trap.reason)
    if ended.code and fault.trap.reason and not any(reason in line for line in errors):
        yield f"the line does not say {reason!r}"
