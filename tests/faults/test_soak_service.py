"""A short form of `soak.service`: load, kills, a full disk, damage, hostile and unknown clients; it finds faults."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers.places.serve import Answer
from soak.load import TOLERANCE, Findings, K, Load, wrong_answer
from soak.service import (
    Soak,
    Tally,
    damaged,
    full_disk,
    hostile,
    killed,
    new_soak,
    tokens,
    under_load,
    wrong_after_kill,
    wrong_on_a_full_disk,
)

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads processes from /proc")
WANTED = {f"{number:02}": 1 - number / 100 for number in range(K + 5)}
MATCHES = [{"name": name, "score": score} for name, score in WANTED.items()][:K]


@pytest.fixture(scope="module")
def soak() -> Iterator[Soak]:
    with new_soak(0) as made:
        yield made


@pytest.mark.parametrize(
    ("part", "arguments"),
    [(full_disk, {"most": 3}), (damaged, {"most": 2}), (hostile, {}), (tokens, {}), (killed, {"kills": 2})],
    ids=["full disk", "damaged", "hostile", "tokens", "killed"],
)
def test_nothing_is_lost(soak: Soak, part: Callable[..., Tally], arguments: dict[str, int]) -> None:
    tally = part(soak, **arguments)
    assert tally.tries and not tally.lost, tally.lost


def test_answers_under_load_are_those_of_one_client(soak: Soak) -> None:
    tally, loads = under_load(soak, seconds=3, clients=40)
    assert [one.clients for one in loads] == [1, 40] and not tally.lost, tally.lost
    assert all(one.findings.seconds for one in loads)


@pytest.mark.parametrize(
    ("matches", "words"),
    [
        (MATCHES[1:], "19 matches"),
        (MATCHES[::-1], "20 matches, with scores"),
        ([*MATCHES[:-1], {"name": "24", "score": WANTED["24"]}], "19 is left out"),
        ([{"name": "00", "score": 1 - 2 * TOLERANCE}, *MATCHES[1:]], "00 has the score"),
    ],
)
def test_a_wrong_answer_is_found(matches: list[dict[str, float]], words: str) -> None:
    assert wrong_answer(MATCHES, WANTED) is None
    assert wrong_answer([{"name": "new", "score": 1.0}, *MATCHES[:-1]], WANTED) is None  # it comes and goes
    assert words in (wrong_answer(matches, WANTED) or "")


def test_growing_memory_and_silence_are_found() -> None:
    quiet = Load(2, 1.0, Findings(seconds=[0.1], tries=1), (100 << 20, 120 << 20))
    assert quiet.problems() == []
    grown = Load(2, 1.0, Findings(), (100 << 20, 200 << 20))
    assert grown.problems() == ["memory grew from 100 to 200 MiB", "no search was answered"]


def test_half_an_enrolment_is_found() -> None:
    done, refused = Answer(201, {}, b"{}"), Answer(503, {}, b'{"error": "full"}')
    assert wrong_on_a_full_disk(done, 2) is wrong_on_a_full_disk(refused, 0) is None
    for answer, added in ((done, 0), (done, 1), (refused, 1), (refused, 2), (Answer(500, {}, b"{}"), 0)):
        assert wrong_on_a_full_disk(answer, added)


def test_what_a_kill_lost_is_found() -> None:
    class Stub:
        def request(self, path: str, *_: object, **__: object) -> Answer:
            if path.startswith("/photos"):
                return Answer(422, {}, b"gone") if path.startswith("/photos/g1/") else Answer(200, {}, b"")
            names = [] if path.endswith("&start=5") else ["form-a/0", "form-a/1", "form-b/0", "form-c/0", "photo/1"]
            rows = ", ".join(f'{{"name": "{name}", "id": {number}}}' for number, name in enumerate(names))
            return Answer(200, {}, f'{{"total": 5, "vehicles": [{rows}]}}'.encode())

    found = list(wrong_after_kill(Stub(), {"form-a": 2, "form-b": 0, "form-d": 2, "form-e": None}))
    assert found == [
        "form-b: 1 images, and 0 were acknowledged",
        "form-d: 0 images, and 2 were acknowledged",
        "form-c: 1 of 2 images",
        "form-a/1: its picture: 422 b'gone'",
    ]
