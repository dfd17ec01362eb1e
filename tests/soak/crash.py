"""The whole chain ended from outside at random moments, and gone on with: it ends with the same bytes.

`python -m soak.crash --kills 50 --seed 0`, with the folder tests/ on the path (PYTHONPATH=tests).
"""

import math
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random

import click

from soak.chain import PRODUCT, Chain, Contents, contents, differences, unfinished
from soak.kills import KINDS, WORKER, Kill, Struck, faults_of_a_whole_run, random_kills, remains_of, strike
from soak.processes import Run, begin, start
from soak.rows import Row, end_with

PER_CHAIN = 10  # kills
MOST_CHAINS = 4  # to kill a worker of each command; one may have ended before its turn


@dataclass(frozen=True)
class Undisturbed:
    """How long each command of an undisturbed chain takes, in seconds, and what lies there after it."""

    seconds: dict[str, float] = field(default_factory=dict)
    contents: dict[str, Contents] = field(default_factory=dict)


class Commands:
    """The commands of a chain in one folder, each run numbered; what they say lies beside it."""

    def __init__(self, chain: Chain, folder: Path) -> None:
        self.program, self.place, self.logs = chain.program, folder / "place", folder / "logs"
        self.place.mkdir(parents=True)
        self.logs.mkdir()
        self.steps = chain.steps(self.place)
        self._number = count()

    def start(self, step: str) -> Run:
        """Start a command."""
        name = f"{next(self._number):02d}-{step.replace(' ', '-')}"
        return start(self.program, self.steps[step], self.logs / f"{name}.log", self.logs / f"{name}.tmp")

    def finish(self, step: str) -> Iterator[str]:
        """Run a command to its end; yield what is wrong with it."""
        run = self.start(step)
        yield from faults_of_a_whole_run(run)
        yield from remains_of(run)

    def struck(self, kill: Kill, wanted: Contents, random: Random) -> Struck | None:
        """Start a command and kill it, or one of its workers; None where that had ended before it.

        A run that says it has done its work has left `wanted`; one that can clear up has left no lock or stray.
        """
        before = unfinished(self.place)
        struck = strike(self.start(kill.step), kill, random)
        if struck is not None and struck.run.code(0) == 0:
            struck.faults += differences(wanted, contents(self.place))
        if struck is not None and kill.kind != "SIGKILL":
            struck.faults += [f"{path} was left behind" for path, _ in sorted(unfinished(self.place) - before)]
        return struck


def undisturbed(chain: Chain, folder: Path) -> Undisturbed:
    """Run a chain that nobody disturbs. Raises RuntimeError where a command fails, makes nothing or leaves a stray."""
    commands, whole = Commands(chain, folder), Undisturbed()
    found: Contents = {}
    for step in commands.steps:
        started = time.monotonic()
        faults = [*commands.finish(step), *(f"it leaves {path}" for path, _ in unfinished(commands.place))]
        whole.seconds[step] = time.monotonic() - started
        before, found = found, contents(commands.place)
        if faults or found == before:
            raise RuntimeError(f"{step}: {'; '.join(faults) or 'it makes nothing'}")
        whole.contents[step] = found
    return whole


def disturbed(commands: Commands, kills: Sequence[Kill], whole: Undisturbed, random: Random) -> list[Struck]:
    """Run a chain with kills, each command until it is done; return those that met it.

    It ends early where something was lost, as all that follows would be lost too.
    """
    struck: list[Struck] = []
    for step in commands.steps:
        met = [commands.struck(kill, whole.contents[step], random) for kill in kills if kill.step == step]
        here = [one for one in met if one is not None]
        struck += here
        faults = [*commands.finish(step)]
        for one in here:
            one.look_for_remains()
        faults += differences(whole.contents[step], contents(commands.place))
        if faults and not struck:
            raise RuntimeError(f"{step}, not killed: {'; '.join(faults)}")
        if faults:
            struck[-1].faults += faults
        if any(one.faults for one in struck):
            break
    return struck


class Soak:
    """Chains in one folder, all compared with an undisturbed one; those in which something was lost are kept."""

    def __init__(self, chain: Chain, folder: Path, seed: int, findings: Path | None) -> None:
        self.chain, self.folder, self.random, self.findings = chain, folder, Random(seed), findings
        self.whole = undisturbed(chain, folder / "undisturbed")
        self.tried: list[Struck] = []

    def kill_workers(self) -> None:
        """Kill a worker of every command that has any, soon after it appears; the later chains at once."""
        for number in range(MOST_CHAINS):
            left = [step for step in self.chain.with_workers if step not in {one.kill.step for one in self.tried}]
            share = 0.0 if number else 0.1
            self._kill(Kill(step, self.random.uniform(0, share * self.whole.seconds[step]), WORKER) for step in left)

    def kill_at_random(self, kills: int, end: float) -> None:
        """Kill at so many random moments; at the time `end` no further chain is begun."""
        most = len(self.tried) + kills
        while len(self.tried) < most and time.monotonic() < end:
            self._kill(random_kills(self.whole.seconds, min(most - len(self.tried), PER_CHAIN), self.random))

    def _kill(self, kills: Iterable[Kill]) -> None:
        """Run one chain with these kills, if there are any."""
        folder, chosen = Path(tempfile.mkdtemp(dir=self.folder, prefix="chain-")), list(kills)
        struck = disturbed(Commands(self.chain, folder), chosen, self.whole, self.random) if chosen else []
        told = [f"{one.kill}: {fault}" for one in struck for fault in one.faults]
        for line in told:
            print(line, file=sys.stderr)
        if told and self.findings is not None:
            shutil.copytree(folder, self.findings / folder.name)
            (self.findings / folder.name / "told.txt").write_text("\n".join([*map(str, chosen), *told]) + "\n")
        shutil.rmtree(folder)
        self.tried += struck

    def rows(self) -> list[Row]:
        """Return a row for each kind of kill in each command, in that order; none for what was not tried."""
        found = []
        for fault in (Kill(step, 0, kind).fault for kind in KINDS for step in self.whole.seconds):
            lost = [bool(one.faults) for one in self.tried if one.kill.fault == fault]
            if lost:
                found.append(Row(fault, len(lost), lost.count(False), lost.count(True)))
        return found


def crash(
    kills: int, seed: int, *, seconds: float = math.inf, findings: Path | None = None, chain: Chain = PRODUCT
) -> list[Row]:
    """Kill a worker of each command, then the chain at so many random moments; return a row for each fault.

    After `seconds` no further chain is begun, so that there may be fewer tries. Chains in which something was lost go
    into the folder `findings`, with what was wrong in told.txt.
    """
    end = time.monotonic() + seconds
    begin()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        soak = Soak(chain, Path(folder), seed, findings)
        soak.kill_workers()
        soak.kill_at_random(kills, end)
        return soak.rows()


@click.command()
@click.option("--kills", type=click.IntRange(1), default=50, show_default=True, help="At random moments of the chain.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--seconds", type=click.FloatRange(1), default=math.inf, help="After these no further chain is begun.")
@click.option("--findings", type=click.Path(path_type=Path, file_okay=False), help="Folder for what is found.")
def main(kills: int, seed: int, seconds: float, findings: Path | None) -> None:
    """Kill, print a row for each fault, and end with 1 where something was lost."""
    end_with(crash(kills, seed, seconds=seconds, findings=findings))


if __name__ == "__main__":
    main()
