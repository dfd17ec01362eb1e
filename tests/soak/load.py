"""Many clients at once: every answer is right, the only refusal is 429, and the server's memory stays flat."""

import itertools
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPException
from random import Random
from threading import Lock
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from helpers.places.api_client import call, enrol
from helpers.places.serve import Answer
from helpers.places.service import Server

WARM_UP = 0.25  # of the time; the memory is measured from then on
MOST_GROWTH = 0.1, 32 << 20  # of the memory after the warm-up, and bytes: LanceDB keeps what it has read
TOLERANCE = 1e-4  # of a score: images in a batch of other sizes differ by rounding
WRITERS = 20  # every so manieth client enrols and deletes
K = 20  # of a search: more than the images that come and go
Scores = dict[str, float]  # of all images of the gallery, by name


@dataclass
class Findings:
    """What clients met: the seconds of right answers to searches, how many were refused by 429, and what was wrong."""

    seconds: list[float] = field(default_factory=list)
    tries: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def note(self, answer: Answer, wrong: str | None, seconds: float | None = None) -> None:
        """Count a request; `seconds` is of a search."""
        with self.lock:
            self.tries += 1
            self.refused += answer.status == 429
            self.wrong += [] if wrong is None else [wrong]
            self.seconds += [] if seconds is None or wrong is not None or answer.status != 200 else [seconds]


@dataclass(frozen=True)
class Load:
    """How a number of clients fared in so many seconds; `memory` is in bytes, after the warm-up and at the end."""

    clients: int
    elapsed: float
    findings: Findings
    memory: tuple[int, int]

    def cells(self) -> list[str]:
        """Return a row of the table."""
        p50, p99 = (1000 * np.percentile(self.findings.seconds or [np.nan], share) for share in (50, 99))
        rate, (warm, end) = len(self.findings.seconds) / self.elapsed, (one / 2**20 for one in self.memory)
        counts = (len(self.findings.seconds), self.findings.refused, len(self.findings.wrong))
        times = (f"{rate:.1f}", f"{p50:.0f}", f"{p99:.0f}", f"{warm:.0f}", f"{end:.0f}")
        return [f"{self.clients:,}", *(f"{count:,}" for count in counts), *times]

    def problems(self) -> list[str]:
        """Return what was wrong."""
        (warm, end), (share, spare) = self.memory, MOST_GROWTH
        grown = [] if end <= warm * (1 + share) + spare else [f"memory grew from {warm >> 20} to {end >> 20} MiB"]
        nothing = [] if self.findings.seconds else ["no search was answered"]
        return [*self.findings.wrong, *grown, *nothing]


def scores_of(server: Server, photos: Sequence[bytes]) -> list[Scores]:
    """Return the scores of all images of the gallery for each photo, asked for by one client."""
    answers = [call(server, "/v1/search?k=100", "POST", photo).json["matches"] for photo in photos]
    return [{match["name"]: match["score"] for match in answer} for answer in answers]


def wrong_answer(matches: Sequence[Mapping[str, Any]], wanted: Scores, k: int = K) -> str | None:
    """Return what is wrong with the matches of a photo, None if nothing.

    Images that come and go meanwhile may be among them; the others must be the best of `wanted`, by their scores.
    """
    scores = [match["score"] for match in matches]
    if len(matches) != k or scores != sorted(scores, reverse=True):
        return f"{len(matches)} matches, with scores {scores}"
    lasting = {match["name"]: match["score"] for match in matches if match["name"] in wanted}
    off = [name for name, score in lasting.items() if abs(score - wanted[name]) > TOLERANCE]
    if off:
        return f"{off[0]} has the score {lasting[off[0]]}, for one client {wanted[off[0]]}"
    left_out = [name for name, score in wanted.items() if name not in lasting and score > scores[-1] + TOLERANCE]
    return f"{left_out[0]} is left out" if left_out else None


def load(server: Server, photos: Sequence[bytes], clients: int, seconds: float, seed: int) -> Load:
    """Let so many clients search with the photos for so long, and a few of them enrol and delete; check the answers."""
    findings, wanted, started = Findings(), scores_of(server, photos), time.monotonic()
    end, memory = started + seconds, 0

    def client(number: int) -> None:
        random = Random(f"{seed} {clients} {number}")
        for turn in itertools.count():
            if time.monotonic() >= end:
                return
            try:
                if number % WRITERS == WRITERS - 1:
                    come_and_go(server, random.choice(photos), f"load/{number}-{turn}.jpg", findings)
                else:
                    which = random.randrange(len(photos))
                    search(server, photos[which], wanted[which], findings)
            except (OSError, HTTPException) as error:
                with findings.lock:
                    findings.wrong.append(f"no answer: {error!r}")

    with ThreadPoolExecutor(clients) as threads:
        running = [threads.submit(client, number) for number in range(clients)]
        time.sleep(WARM_UP * seconds)
        memory = server.memory()
        for one in running:
            one.result()
    return Load(clients, time.monotonic() - started, findings, (memory, server.memory()))


def search(server: Server, photo: bytes, wanted: Scores, findings: Findings) -> None:
    """Search, and check the answer; after 429 come back when the server says."""
    started = time.monotonic()
    answer = call(server, f"/v1/search?k={K}", "POST", photo)
    wrong = wrong_answer(answer.json["matches"], wanted) if answer.status == 200 else unexpected(answer)
    findings.note(answer, wrong, time.monotonic() - started)
    wait_if_refused(answer)


def come_and_go(server: Server, photo: bytes, name: str, findings: Findings) -> None:
    """Enrol an image, list the gallery and delete it again."""
    answer = enrol(server, {"image": photo}, {"name": name})
    findings.note(answer, None if answer.status == 201 else unexpected(answer))
    wait_if_refused(answer)
    if answer.status != 201:
        return
    listed = call(server, "/v1/vehicles?count=1000")
    findings.note(listed, wrong_list(listed, name))
    while True:
        answer = call(server, f"/v1/vehicles/{name}", "DELETE")
        findings.note(answer, None if answer.status == 204 else unexpected(answer))
        wait_if_refused(answer)
        if answer.status != 429:
            return


def wrong_list(answer: Answer, name: str) -> str | None:
    """Return what is wrong with a list of the whole gallery while images come and go; `name` must be in it."""
    if answer.status != 200:
        return f"status {answer.status}: {answer.body[:200]!r}"
    names = [one["name"] for one in answer.json["vehicles"]]
    if len(names) != answer.json["total"] or names != sorted(set(names)):
        return f"a list of {len(names)} images, in which there are {answer.json['total']}"
    return None if name in names else f"{name} is enrolled and not listed"


def unexpected(answer: Answer) -> str | None:
    """Return what is wrong with an answer that is no success, None if it is 429."""
    return None if answer.status == 429 else f"status {answer.status}: {answer.body[:200]!r}"


def wait_if_refused(answer: Answer) -> None:
    """Wait for as long as an answer of 429 says."""
    if answer.status == 429:
        time.sleep(float(answer.headers["retry-after"]))


def print_loads(loads: Sequence[Load]) -> None:
    """Print the table of loads, as docs/reliability.md has it."""
    headings = ("clients", "answers", "429", "wrong", "answers/s", "p50 ms", "p99 ms", "MiB warm", "MiB end")
    table = Table(*headings, title="searches, with enrolments and deletions among them")
    for column in table.columns:
        column.justify = "right"
    for one in loads:
        table.add_row(*one.cells())
    Console(width=110).print(table)
