"""Storage that fails under every command that writes: the old state or the new one, and one clear line.

`python -m soak.storage`, with the folder tests/ on the path (PYTHONPATH=tests). A command is run undisturbed, and its
calls that open, write, sync, rename and remove are counted. Then again and again from the same state, and each time
one of them fails, or all from one on; or the system refuses long files; or something else lies where a file belongs.
What is left must be the old or the new content of every file, and the next run must end as if nothing had been.
"""

import errno
import math
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from random import Random

import click

from soak.disk.cases import CASES, Case, Place, new_place
from soak.disk.checks import Undisturbed, lost_at_once, lost_in_the_end
from soak.disk.faults import Fault
from soak.disk.traps import REFUSED, Trap, no_file_longer_than, trapped
from soak.inputs.trees import Tree, lay, read_tree
from soak.rows import Row, end_with

REASONS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EDQUOT)
NOWHERE = ("x" * 300, "given/tiny.json/below")  # a name too long, and a folder below a file


@dataclass(frozen=True)
class Lost:
    """A fault that a command did not survive: what is wrong, and what it told."""

    command: str
    fault: str
    wrong: Sequence[str]
    told: str

    def __str__(self) -> str:
        """Tell it; of many things that are wrong the first."""
        return f"{self.command}: {self.fault}: {'; '.join(self.wrong[:4])}; it told: {self.told.rstrip()[-400:]}"


def storage(seconds: float, seed: int, names: Sequence[str] = ()) -> list[Row]:
    """Try faults for so long in all commands, or in those named, and return a row for each; what was lost is said.

    Every command has its share of the time, and at least one fault. What takes less leaves its time to the others.
    """
    end = time.monotonic() + seconds
    tried: dict[str, Row] = {}
    chosen = [case for case in CASES if not names or case.name in names]
    with new_place() as place:
        # those that take seconds come last, as they may need more than their share
        for left, case in zip(range(len(chosen), 0, -1), sorted(chosen, key=lambda case: not case.short), strict=True):
            enough = time.monotonic() + (end - time.monotonic()) / left
            tries, lost = hunt(place, case, seed, until=enough)
            tried[case.name] = Row(f"storage: {case.name}", tries, tries - len(lost), len(lost))
            for one in lost:
                print(str(one), file=sys.stderr)
    return [tried[case.name] for case in chosen]


def hunt(
    place: Place, case: Case, seed: int, *, most: int | None = None, until: float = math.inf
) -> tuple[int, list[Lost]]:
    """Try faults in a command, in each of its states, until that time; return how many, and what was lost.

    With `most` there are so many at most, and only in the last of its states.
    """
    random, tries = Random(f"{seed} {case.name}"), 0
    found: list[Lost] = []
    states = starts(place, case)[0 if most is None else -1 :]
    for left, start in zip(range(len(states), 0, -1), states, strict=True):
        quiet = undisturbed(place, case, start)
        enough = time.monotonic() + (until - time.monotonic()) / left
        for fault in islice(faults(place, case, quiet, random), most):
            lost = attempt(place, case, quiet, fault)
            tries += 1
            found += [] if lost is None else [lost]
            if time.monotonic() > enough:
                break
    return tries, found


def starts(place: Place, case: Case) -> list[Tree]:
    """Return the states from which a command is run: what others left; and where it replaces files, such files."""
    lay(place.start, place.work)
    for words in case.before:
        ended = place.run(words)
        assert ended.code == 0, ended.told
    start = read_tree(place.work)
    if not case.over:
        return [start]
    made = undisturbed(place, case, start)
    return [start, {**made.wanted, **dict.fromkeys(made.made(), b"old")}]


def undisturbed(place: Place, case: Case, start: Tree) -> Undisturbed:
    """Run a command with nothing in its way."""
    lay(start, place.work)
    trap = Trap(place.folder)
    with trapped(trap):
        ended = place.run(case.words)
    assert ended.code == 0, f"{case.name}: {ended.told}"
    return Undisturbed(place.work, start, read_tree(place.work), trap)


def faults(place: Place, case: Case, quiet: Undisturbed, random: Random) -> Iterator[Fault]:
    """Yield all that may be tried, the various kinds first: after two calls that fail one of the other faults."""
    others = list(_other_faults(place, case, quiet))
    random.shuffle(others)
    for number, at in enumerate(_in_turn([name for name, _ in quiet.trap.seen], random)):
        yield Fault("a call fails", Trap(place.folder, at, random.choice(REASONS), lasting=number % 5 == 4))
        if number % 2 and others:
            yield others.pop()
    yield from others


def _other_faults(place: Place, case: Case, quiet: Undisturbed) -> Iterator[Fault]:
    if not quiet.made():
        return
    for size in sorted({len(content) for name in quiet.made() if (content := quiet.wanted[name])}):
        yield Fault("a disk that is full", Trap(place.folder), longest=size - 1)
    for reason in (errno.EACCES, errno.EROFS):
        yield Fault("a closed folder", Trap(place.folder, 1, reason, lasting=True, only=REFUSED))
    for name in quiet.made():
        yield Fault(
            "a folder in the way", Trap(place.folder), _alone({name: None, f"{name}/mine": b"mine"}, quiet.start)
        )
    for name in quiet.new_folders():
        yield Fault("a file in the way", Trap(place.folder), _alone({name: b"mine"}, quiet.start))
    for where in ("out", "runs"):
        for name in NOWHERE if f"{{{where}}}" in case.words else ():
            yield Fault("no place for it", Trap(place.folder), elsewhere={where: place.folder / name})


def _alone(blocking: Tree, start: Tree) -> Tree:
    """Return what is in the way with the folders that must be there for it."""
    above = [path.as_posix() for path in PurePosixPath(next(iter(blocking))).parents]
    return {**blocking, **{name: None for name in above[:-1] if name not in start}}


def _in_turn(names: Sequence[str], random: Random) -> list[int]:
    """Return the numbers of calls, from 1: one of each name, then again one of each."""
    places = defaultdict(list)
    for number, name in enumerate(names, start=1):
        places[name].append(number)
    for numbers in places.values():
        random.shuffle(numbers)
    order = []
    while any(places.values()):
        order += [numbers.pop() for numbers in places.values() if numbers]
    return order


def attempt(place: Place, case: Case, quiet: Undisturbed, fault: Fault) -> Lost | None:
    """Run a command with a fault, look at what it left, and run it once more without."""
    way = fault.in_the_way
    lay({name: content for name, content in quiet.start.items() if name not in way} | way, place.work)
    with trapped(fault.trap), no_file_longer_than(fault.longest):
        ended = place.run(case.words, fault.elsewhere)
    left = read_tree(place.work)
    wrong = [f"{name} was touched" for name, content in way.items() if name not in left or left[name] != content]
    left = {name: content for name, content in left.items() if name not in way}
    wrong += lost_at_once(quiet, fault, ended, left, tells=case.tells)
    left |= {name: quiet.start[name] for name in way if name in quiet.start}
    lay(left, place.work)
    again = place.run(case.words)
    wrong += lost_in_the_end(quiet, fault, left, again, read_tree(place.work), once=case.once)
    return Lost(case.name, str(fault), wrong, ended.told) if wrong else None


@click.command()
@click.option("--seconds", type=click.FloatRange(1), default=240.0, show_default=True, help="Time for all commands.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--command", "names", multiple=True, help="Only this command; repeatable. They are told with --list.")
@click.option("--list", "listed", is_flag=True, help="Tell the commands, and end.")
def main(seconds: float, seed: int, names: tuple[str, ...], listed: bool) -> None:
    """Try, print a row for each command, and end with 1 where something was lost."""
    if listed:
        click.echo("\n".join(case.name for case in CASES))
        return
    end_with(storage(seconds, seed, names))


if __name__ == "__main__":
    main()
