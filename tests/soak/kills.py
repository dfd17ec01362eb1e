"""Kills of a command: when and how, and what must not be seen after one."""

import os
import signal
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from helpers.faults.detection import living
from soak.processes import SHARED, Run, waited

HANGS = 60.0  # seconds before a process that should have ended is said to hang
LINGERS = 30.0  # seconds for workers to see that their run has gone; torch's look every 5
WORKER = "killed worker"
KINDS = ("SIGKILL", "SIGTERM", WORKER)
# SIGTERM ends as it does by default before there is work to leave in order; and a kill may come an instant too late
EXPECTED = {"SIGKILL": (-signal.SIGKILL, 0), "SIGTERM": (1, -signal.SIGTERM, 0), WORKER: (1, 0)}


@dataclass(frozen=True)
class Kill:
    """An end from outside: of a command, so many seconds after its start (or, of a worker, after the first appears)."""

    step: str
    after: float
    kind: str  # of KINDS
    group: bool = False  # all of its processes get the signal, as from a batch system

    @property
    def fault(self) -> str:
        """The name of its row in the closing table."""
        return f"crash: {self.kind} in {self.step}"


@dataclass
class Struck:
    """A kill that met its command, the semaphores in use then, the processes left to end by themselves, and faults."""

    kill: Kill
    run: Run
    shared: set[Path] = field(default_factory=set)
    members: set[int] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    def look_for_remains(self) -> None:
        """Note what is left of the run, once there is time for its processes to have ended."""
        remains = [*remains_of(self.run, self.shared, self.members)]
        if not (self.kill.kind == "SIGKILL" and self.kill.group):  # where none is left nobody can clear up
            self.faults += remains


def random_kills(seconds: Mapping[str, float], number: int, random: Random) -> list[Kill]:
    """Return kills at random moments of a chain's whole time, half by SIGKILL, half by SIGTERM."""
    kills = []
    for place in random.sample(range(number), number):
        moment = random.uniform(0, sum(seconds.values()))
        for step, lasts in seconds.items():
            if moment < lasts:
                kills.append(Kill(step, moment, KINDS[place % 2], random.random() < 0.5))
                break
            moment -= lasts
    return kills


def strike(run: Run, kill: Kill, random: Random) -> Struck | None:
    """Let a kill meet a command that has just been started; None where that had done its work before."""
    if kill.kind == WORKER:
        waited(lambda: run.workers() or run.code(0) is not None, HANGS)
    if run.code(kill.after) is not None:
        return _ended_early(run, kill)
    semaphores = {path for path in run.shared_files() if path.name.startswith("sem.")}
    struck = Struck(kill, run, semaphores, _left_alive(run, kill))
    if kill.kind != WORKER:
        run.send(signal.Signals[kill.kind], group=kill.group)
    elif not _kill_one(run.workers(), random):
        run.code(HANGS)
        return _ended_early(run, kill)
    struck.faults += _wrong_end(struck)
    return struck


def _left_alive(run: Run, kill: Kill) -> set[int]:
    """Return the processes that a kill does not end: others leave shared memory that torch was about to unlink."""
    if kill.group or kill.kind == WORKER:
        return set()
    return living(run.session) - ({run.session} if kill.kind == "SIGKILL" else set())


def _kill_one(workers: list[int], random: Random) -> bool:
    with suppress(IndexError, ProcessLookupError):  # there is none, or it has just ended
        os.kill(random.choice(workers), signal.SIGKILL)
        return True
    return False


def _ended_early(run: Run, kill: Kill) -> Struck | None:
    faults = [*faults_of_a_whole_run(run)]
    return Struck(kill, run, faults=faults) if faults else None


def faults_of_a_whole_run(run: Run) -> Iterator[str]:
    """Yield what is wrong with a run that nobody disturbs, for as long as it lasts."""
    code = _code(run)
    if code != 0 or _is_noisy(run):
        yield f"undisturbed, it ended with {code}: {run.last_line()}"


def _wrong_end(struck: Struck) -> Iterator[str]:
    """Yield what is wrong with the end of a command that was killed: its exit code, or what it said."""
    run, code = struck.run, _code(struck.run)
    if code is None:
        yield f"it hangs: {run.last_line()}"
    elif code not in EXPECTED[struck.kill.kind]:
        yield f"it ended with {code}: {run.last_line()}"
    elif _is_noisy(run):
        yield f"it said more than one line: {run.told()}"
    elif (code == 1) != (run.last_line().startswith("Error: ") and run.told().count("Error: ") == 1):
        yield f"it ended with {code}, and said: {run.last_line()}"


def _code(run: Run) -> int | None:
    """Wait for a run; return its exit code, or None, and end it, where it hangs."""
    code = run.code(HANGS)
    if code is None:
        run.send(signal.SIGKILL, group=True)
    return code


def _is_noisy(run: Run) -> bool:
    return any(word in run.told() for word in ("Traceback", "Exception ignored", "leaked"))


def remains_of(run: Run, shared: Collection[Path] = (), members: Collection[int] = ()) -> Iterator[str]:
    """Yield what a run that has ended left: processes, temporary files, shared memory. The first and last are ended."""
    if not waited(lambda: not living(run.session), LINGERS):
        yield f"{len(living(run.session))} processes outlive it"
        run.send(signal.SIGKILL, group=True)
    yield from (f"the temporary {path.name} was left behind" for path in run.scratch.iterdir())
    by_name = {path for member in members for path in SHARED.glob(f"torch_{member}_*")}
    for path in sorted(by_name.union(path for path in shared if path.exists())):
        yield f"{path} was left behind"
        path.unlink(missing_ok=True)
