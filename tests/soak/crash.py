"""The whole chain killed at random moments and resumed: it ends with the same bytes.

`python -m soak.crash --kills 50 --seed 0`, with PYTHONPATH=tests.
"""

import math
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random

import click

from helpers.faults.processes import Run, living, start, waited
from soak.chain import PRODUCT, Chain, digests, unfinished
from soak.rows import Row, end_with
from soak.trees import Tree, differences

PER_CHAIN = 10  # kills
MOST_CHAINS = 4  # to kill a worker of each command; one may have ended before its turn
HANGS = 60.0  # seconds before a process that should have ended counts as hanging
LINGERS = 30.0  # seconds for workers to notice that their run has ended; torch's look every 5
WORKER = "killed worker"
KINDS = ("SIGKILL", "SIGTERM", WORKER)
# SIGTERM ends a process at once before there is work to leave in order; and a kill may come an instant too late
EXPECTED = {"SIGKILL": (-signal.SIGKILL, 0), "SIGTERM": (1, -signal.SIGTERM, 0), WORKER: (1, 0)}


@dataclass(frozen=True)
class Kill:
    """A kill of a command, so many seconds after its start; of a worker, after the first one appears."""

    step: str
    after: float
    kind: str  # of KINDS
    group: bool = False  # all of its processes get the signal, as from a batch system


@dataclass
class Hit:
    """A kill that met its command, and what was wrong afterwards."""

    kill: Kill
    run: Run
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Undisturbed:
    """The seconds that each command of an undisturbed chain takes, and the files after it."""

    seconds: dict[str, float] = field(default_factory=dict)
    trees: dict[str, Tree] = field(default_factory=dict)


class Commands:
    """The commands of a chain in one folder; each run has a numbered log."""

    def __init__(self, chain: Chain, folder: Path) -> None:
        self.program, self.place, self.logs = chain.program, folder / "place", folder / "logs"
        self.place.mkdir(parents=True)
        self.logs.mkdir()
        self.steps = chain.steps(self.place)
        self._number = count()

    def start(self, step: str) -> Run:
        """Start a command."""
        name = f"{next(self._number):02d}-{step.replace(' ', '-')}.log"
        return start(self.program, self.steps[step], self.logs / name)

    def finish(self, step: str) -> Iterator[str]:
        """Run a command to its end; yield what is wrong with it."""
        run = self.start(step)
        yield from wrong_undisturbed(run)
        yield from remains_of(run)

    def strike(self, kill: Kill, wanted: Tree, random: Random) -> Hit | None:
        """Start a command and kill it or one of its workers; return None if it had ended before.

        A run that claims success must have left `wanted`; one that can clean up must leave no lock or temporary file.
        """
        before = unfinished(self.place)
        hit = strike(self.start(kill.step), kill, random)
        if hit is not None and hit.run.code(0) == 0:
            hit.wrong += differences(digests(self.place), wanted)
        if hit is not None and kill.kind != "SIGKILL":
            hit.wrong += [f"{path} was left behind" for path, _ in sorted(unfinished(self.place) - before)]
        return hit


def strike(run: Run, kill: Kill, random: Random) -> Hit | None:
    """Kill a run that has just been started, or one of its workers; return None if it had ended before."""
    hit = Hit(kill, run)
    if kill.kind == WORKER:
        waited(lambda: run.workers() or run.code(0) is not None, HANGS)
    if run.code(kill.after) is not None or (kill.kind == WORKER and not _kill_one(run.workers(), random)):
        hit.wrong += wrong_undisturbed(run)
        return hit if hit.wrong else None
    if kill.kind != WORKER:
        run.send(signal.Signals[kill.kind], group=kill.group)
    hit.wrong += _wrong_end(run, EXPECTED[kill.kind])
    return hit


def _kill_one(workers: list[int], random: Random) -> bool:
    with suppress(IndexError, ProcessLookupError):  # there is none, or it has just ended
        os.kill(random.choice(workers), signal.SIGKILL)
        return True
    return False


def wrong_undisturbed(run: Run) -> Iterator[str]:
    """Yield what is wrong with the end of a run that nobody killed."""
    code = _code(run)
    if code != 0 or _is_noisy(run):
        yield f"undisturbed, it ended with {code}: {run.output()}"


def _wrong_end(run: Run, expected: tuple[int, ...]) -> Iterator[str]:
    """Yield what is wrong with the end of a killed command: its exit code or its output."""
    code, output = _code(run), run.output().rstrip()
    if code is None:
        yield f"it hangs: {output}"
    elif code not in expected:
        yield f"it ended with {code}: {output}"
    elif _is_noisy(run):
        yield f"it printed more than one line: {output}"
    elif (code == 1) != (output.rpartition("\n")[2].startswith("Error: ") and output.count("Error: ") == 1):
        yield f"it ended with {code} and printed: {output}"


def _code(run: Run) -> int | None:
    """Wait for a run; return its exit code, or None if it hangs, and kill it."""
    code = run.code(HANGS)
    if code is None:
        run.send(signal.SIGKILL, group=True)
    return code


def _is_noisy(run: Run) -> bool:
    return any(word in run.output() for word in ("Traceback", "Exception ignored", "leaked"))


def remains_of(run: Run) -> Iterator[str]:
    """Yield the processes, which are killed, and the temporary files that a run left."""
    if not waited(lambda: not living(run.session), LINGERS):
        yield f"{len(living(run.session))} processes outlive it"
        run.send(signal.SIGKILL, group=True)
    yield from (f"the temporary {path.name} was left behind" for path in run.scratch.iterdir())


def undisturbed(chain: Chain, folder: Path) -> Undisturbed:
    """Run a chain without kills. Raises RuntimeError if a command fails, makes nothing or leaves a temporary file."""
    commands, reference = Commands(chain, folder), Undisturbed()
    tree: Tree = {}
    for step in commands.steps:
        started = time.monotonic()
        wrong = [*commands.finish(step), *(f"it leaves {path}" for path, _ in unfinished(commands.place))]
        reference.seconds[step] = time.monotonic() - started
        before, tree = tree, digests(commands.place)
        if wrong or tree == before:
            raise RuntimeError(f"{step}: {'; '.join(wrong) or 'it makes nothing'}")
        reference.trees[step] = tree
    return reference


def disturbed(commands: Commands, kills: Sequence[Kill], reference: Undisturbed, random: Random) -> list[Hit]:
    """Run a chain with kills, each command until it is done; return the hits.

    It ends early after a loss, because everything that follows would be lost too.
    """
    hits: list[Hit] = []
    for step in commands.steps:
        met = [commands.strike(kill, reference.trees[step], random) for kill in kills if kill.step == step]
        here = [hit for hit in met if hit is not None]
        hits += here
        wrong = [*commands.finish(step)]
        for hit in here:
            remains = [*remains_of(hit.run)]
            if not (hit.kill.kind == "SIGKILL" and hit.kill.group):  # then no process is left to clean up
                hit.wrong += remains
        wrong += differences(digests(commands.place), reference.trees[step])
        if wrong and not hits:
            raise RuntimeError(f"{step}, not killed: {'; '.join(wrong)}")
        if wrong:
            hits[-1].wrong += wrong
        if any(hit.wrong for hit in hits):
            break
    return hits


def random_kills(seconds: Mapping[str, float], number: int, random: Random) -> list[Kill]:
    """Return kills at random moments of a chain's whole time, half by SIGKILL, half by SIGTERM."""
    steps = random.choices(list(seconds), list(seconds.values()), k=number)
    kinds = random.sample([KINDS[place % 2] for place in range(number)], number)
    return [
        Kill(step, random.uniform(0, seconds[step]), kind, random.random() < 0.5)
        for step, kind in zip(steps, kinds, strict=True)
    ]


class Soak:
    """Chains compared with an undisturbed one; those in which something was lost are kept in `findings`."""

    def __init__(self, chain: Chain, folder: Path, seed: int, findings: Path | None) -> None:
        self.chain, self.folder, self.random, self.findings = chain, folder, Random(seed), findings
        self.reference = undisturbed(chain, folder / "undisturbed")
        self.hits: list[Hit] = []

    def kill_workers(self) -> None:
        """Kill a worker of every command that has any, soon after it appears; in later chains at once."""
        for number in range(MOST_CHAINS):
            left = [step for step in self.chain.with_workers if step not in {hit.kill.step for hit in self.hits}]
            share = 0.0 if number else 0.1
            self._kill(
                Kill(step, self.random.uniform(0, share * self.reference.seconds[step]), WORKER) for step in left
            )

    def kill_at_random(self, kills: int, end: float) -> None:
        """Kill at so many random moments; after the time `end` no further chain starts."""
        most = len(self.hits) + kills
        while len(self.hits) < most and time.monotonic() < end:
            number = min(most - len(self.hits), PER_CHAIN)
            self._kill(random_kills(self.reference.seconds, number, self.random))

    def _kill(self, kills: Iterable[Kill]) -> None:
        """Run one chain with these kills, if there are any."""
        folder, chosen = Path(tempfile.mkdtemp(dir=self.folder, prefix="chain-")), list(kills)
        hits = disturbed(Commands(self.chain, folder), chosen, self.reference, self.random) if chosen else []
        report = [f"{hit.kill}: {wrong}" for hit in hits for wrong in hit.wrong]
        print(*report, sep="\n", end="\n" if report else "", file=sys.stderr)
        if report and self.findings is not None:
            shutil.copytree(folder, self.findings / folder.name)
            (self.findings / folder.name / "report.txt").write_text("\n".join([*map(str, chosen), *report]) + "\n")
        shutil.rmtree(folder)
        self.hits += hits

    def rows(self) -> list[Row]:
        """Return a row for each kind of kill in each command."""
        rows = []
        for kind in KINDS:
            for step in self.reference.seconds:
                lost = [bool(hit.wrong) for hit in self.hits if (hit.kill.kind, hit.kill.step) == (kind, step)]
                rows += [Row(f"crash: {kind} in {step}", len(lost), sum(lost))] if lost else []
        return rows


def crash(
    kills: int, seed: int, *, seconds: float = math.inf, findings: Path | None = None, chain: Chain = PRODUCT
) -> list[Row]:
    """Kill a worker of each command, then the chain at so many random moments; return a row for each kind of kill.

    After `seconds` no further chain starts, so there may be fewer tries. Chains in which something was lost are copied
    to the folder `findings`, with a report.txt.
    """
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        soak = Soak(chain, Path(folder), seed, findings)
        soak.kill_workers()
        soak.kill_at_random(kills, end)
        return soak.rows()


@click.command()
@click.option("--kills", type=click.IntRange(1), default=50, show_default=True, help="At random moments of the chain.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--seconds", type=click.FloatRange(1), default=math.inf, help="After these no further chain starts.")
@click.option("--findings", type=click.Path(path_type=Path, file_okay=False), help="Folder for chains with losses.")
def main(kills: int, seed: int, seconds: float, findings: Path | None) -> None:
    """Kill, print a row for each kind of kill, and exit with 1 if anything was lost."""
    end_with(crash(kills, seed, seconds=seconds, findings=findings))


if __name__ == "__main__":
    main()
