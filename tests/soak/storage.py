"""Storage that fails under every command that writes: every file is old or new, and the error is one line.

`python -m soak.storage`, with PYTHONPATH=tests. Each command runs once without faults, and its calls that open, write,
sync, rename and remove are counted. Then it runs many times from the same state, and each time one call fails, or all
from one on, or the system refuses long files, or something else is where a file belongs. Every file must be as before
or as after, and the next run must end as if nothing had happened.
"""

import errno
import math
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import PurePosixPath
from random import Random

import click

from helpers.faults.traps import READ_ONLY_REFUSES, Trap, file_size_limit, trapped
from soak.cases import CASES, Case, Place, new_place
from soak.checks import Fault, Undisturbed, wrong_after_fault, wrong_after_rerun
from soak.rows import Row, end_with
from soak.trees import Tree, read_tree, write_tree

REASONS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EDQUOT)
NOWHERE = ("x" * 300, "given/tiny.json/below")  # a name that is too long, and a folder below a file
RANDOM_NAME = re.compile(r"[a-z0-9_]{8}(?=\.tmp$)")  # of a temporary file
PICTURES = (".jpg", ".png")  # one that cannot be read counts as damaged, which other tests try


def storage(seconds: float, seed: int, names: Sequence[str] = ()) -> list[Row]:
    """Try faults in all commands, or in those named, for so long; print what was lost, and return a row for each.

    Every command gets at least one fault. Those that need less than their share leave the time to the others.
    """
    end = time.monotonic() + seconds
    rows: dict[str, Row] = {}
    chosen = [case for case in CASES if not names or case.name in names]
    with new_place() as place:
        # slow commands come last, because they may need more than their share
        for left, case in zip(range(len(chosen), 0, -1), sorted(chosen, key=lambda case: not case.short), strict=True):
            until = time.monotonic() + (end - time.monotonic()) / left
            tries, lost = hunt(place, case, seed, until=until)
            rows[case.name] = Row(f"storage: {case.name}", tries, len(lost))
            print(*lost, sep="\n", end="\n" if lost else "", file=sys.stderr)
    return [rows[case.name] for case in chosen]


def hunt(
    place: Place, case: Case, seed: int, *, most: int | None = None, until: float = math.inf
) -> tuple[int, list[str]]:
    """Try faults in a command until that time; return how many, and a description of each that lost something.

    With `most`, at most so many from the last of its states; otherwise from all of them.
    """
    tries = 0
    lost: list[str] = []
    states = starts(place, case)[0 if most is None else -1 :]
    for left, start in zip(range(len(states), 0, -1), states, strict=True):
        quiet = undisturbed(place, case, start)
        enough = time.monotonic() + (until - time.monotonic()) / left
        for fault in islice(faults(place, case, quiet, seed), most):
            tries += 1
            lost += attempt(place, case, quiet, fault)
            if time.monotonic() > enough:
                break
    return tries, lost


def starts(place: Place, case: Case) -> list[Tree]:
    """Return the states to run a command from: what others left, and, if it overwrites files, with old ones there."""
    write_tree(place.start, place.work)
    for words in case.before:
        ended = place.run(words)
        assert ended.code == 0, ended.output
    start = read_tree(place.work)
    if not case.overwrites:
        return [start]
    quiet = undisturbed(place, case, start)
    return [start, {**quiet.wanted, **dict.fromkeys(quiet.written(), b"old")}]


def undisturbed(place: Place, case: Case, start: Tree) -> Undisturbed:
    """Run a command without faults."""
    write_tree(start, place.work)
    with trapped(trap := Trap(place.folder)):
        ended = place.run(case.words)
    assert ended.code == 0, f"{case.name}: {ended.output}"
    return Undisturbed(place.work, start, read_tree(place.work), trap)


def faults(place: Place, case: Case, quiet: Undisturbed, seed: int) -> Iterator[Fault]:
    """Yield all faults to try: calls of different names first, and another kind of fault after every two of them.

    The place of each in the order is drawn from the seed and itself alone: a run that makes a call more, or writes a
    longer file, tries the same faults.
    """
    numbered = enumerate(_other_faults(place, case, quiet))
    others = [fault for _, fault in sorted(numbered, key=lambda one: _draws(seed, case.name, one[0]).random())]
    for number, at in enumerate(_in_turn(quiet.trap, seed, case)):
        reason = _draws(seed, case.name, number).choice(REASONS)
        yield Fault("failing call", Trap(place.folder, at, reason, lasting=number % 5 == 4))
        if number % 2 and others:
            yield others.pop()
    yield from others


def _draws(*seed: object) -> Random:
    return Random(str(seed))


def _in_turn(trap: Trap, seed: int, case: Case) -> list[int]:
    """Return the numbers of the calls in random order, but one of each name first, then again one of each."""
    order: dict[int, float] = {}
    repeated: Counter[tuple[str, str]] = Counter()
    for number, (name, path) in enumerate(trap.seen, start=1):
        if name != "open" or path.suffix not in PICTURES:
            call = name, RANDOM_NAME.sub("", str(path.relative_to(trap.folder)))
            order[number] = _draws(seed, case.name, *call, repeated[call]).random()
            repeated[call] += 1
    numbers = sorted(order, key=lambda number: order[number])
    met: Counter[str] = Counter()
    rounds = {}
    for number in numbers:
        name, _ = trap.seen[number - 1]
        rounds[number] = met[name]
        met[name] += 1
    return sorted(numbers, key=lambda number: rounds[number])


def _other_faults(place: Place, case: Case, quiet: Undisturbed) -> Iterator[Fault]:
    if not quiet.written():
        return
    for content in filter(None, map(quiet.wanted.get, quiet.written())):
        yield Fault("full disk", Trap(place.folder), largest=len(content) - 1)
    for reason in (errno.EACCES, errno.EROFS):
        yield Fault("read-only folder", Trap(place.folder, 1, reason, lasting=True, only=READ_ONLY_REFUSES))
    for name in quiet.written():
        way = _with_parents({name: None, f"{name}/mine": b"mine"}, quiet.start)
        yield Fault("a folder in the way", Trap(place.folder), way)
    for name in quiet.new_folders():
        yield Fault("a file in the way", Trap(place.folder), _with_parents({name: b"mine"}, quiet.start))
    for where in ("out", "runs"):
        for name in NOWHERE if f"{{{where}}}" in case.words else ():
            yield Fault("no place for it", Trap(place.folder), elsewhere={where: place.folder / name})


def _with_parents(blocking: Tree, start: Tree) -> Tree:
    """Return what is in the way with the folders that it needs."""
    above = [path.as_posix() for path in PurePosixPath(next(iter(blocking))).parents]
    return {**blocking, **{name: None for name in above[:-1] if name not in start}}


def attempt(place: Place, case: Case, quiet: Undisturbed, fault: Fault) -> list[str]:
    """Run a command with a fault, check what it left, and run it again without; return a description of any loss."""
    way = fault.in_the_way
    write_tree({name: content for name, content in quiet.start.items() if name not in way} | way, place.work)
    with trapped(fault.trap), file_size_limit(fault.largest):
        ended = place.run(case.words, fault.elsewhere)
    left = read_tree(place.work)
    wrong = [f"{name} was touched" for name, content in way.items() if name not in left or left[name] != content]
    left = {name: content for name, content in left.items() if name not in way}
    wrong += wrong_after_fault(quiet, fault, ended, left)
    left |= {name: quiet.start[name] for name in way if name in quiet.start}
    write_tree(left, place.work)
    again = place.run(case.words)
    wrong += wrong_after_rerun(quiet, fault, left, again, read_tree(place.work), once=case.once)
    output = ended.output.rstrip()[-400:]
    return [f"{case.name}: {fault}: {'; '.join(wrong[:4])}; output: {output}"] if wrong else []


@click.command()
@click.option("--seconds", type=click.FloatRange(1), default=240.0, show_default=True, help="Time for all commands.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--command", "names", multiple=True, help="Only this command; repeatable. See --list.")
@click.option("--list", "listed", is_flag=True, help="List the commands and exit.")
def main(seconds: float, seed: int, names: tuple[str, ...], listed: bool) -> None:
    """Try faults, print a row for each command, and exit with 1 if anything was lost."""
    if listed:
        click.echo("\n".join(case.name for case in CASES))
        return
    end_with(storage(seconds, seed, names))


if __name__ == "__main__":
    main()
