"""The fuzzer: a moment of it in every reader of users' files; and that it finds what there is to find."""

import os
import sys
from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from soak import fuzz as fuzzer
from soak.fuzz import TARGETS, fuzz, hunt
from soak.inputs.reach import lines_reached
from soak.inputs.target import Target
from soak.rows import Row

TRIES, FEW = 50, 15  # a checkpoint takes a network each
pytestmark = pytest.mark.usefixtures("tiny_network")  # on one thread


@pytest.mark.parametrize("name", TARGETS)
def test_a_spoilt_file_is_read_or_refused_in_one_line(name: str, tmp_path: Path) -> None:
    found = hunt(TARGETS[name], tmp_path, tries=FEW if name == "checkpoint" else TRIES, seed=0)
    assert not [f"{finding.file}: {finding.data[:300]!r}\n{finding.told}" for finding in found.findings]


def number(folder: Path) -> int:
    """A reader with faults: deep inside it fails, and it refuses in two lines."""
    text = (folder / "f").read_bytes()
    if text[:1] != b"a":
        raise UserError("f: does not begin with a; mend it")
    if text[1:2] != b"b":
        raise UserError("f: the second\nis no b")
    if len(text) > 2:
        raise KeyError("a fault behind two conditions")
    return 1


def exits(folder: Path) -> None:
    if (folder / "f").read_bytes() != b"ab":
        os._exit(3)


HERE = (sys.modules[__name__],)
FAULTY = Target(lambda: {"f": b"ab"}, number, HERE)
DEADLY = Target(lambda: {"f": b"ab"}, exits, HERE)


def test_it_finds_exceptions_and_refusals_of_two_lines(tmp_path: Path) -> None:
    found = hunt(FAULTY, tmp_path, tries=200, seed=0)
    told = "".join(finding.told for finding in found.findings)
    assert "KeyError: 'a fault behind two conditions'" in told and "refused, but not in one line" in told
    assert (tmp_path / "f").read_bytes() == b"ab"


def test_it_keeps_what_reaches_new_lines_and_only_that(tmp_path: Path) -> None:
    patient = Target(lambda: {"f": b"ab"}, lambda folder: None if b"b" in (folder / "f").read_bytes() else 1 / 1, HERE)
    found = hunt(patient, tmp_path, tries=50, seed=0)
    assert found.kept == {"f": [b"ab"]}  # one line holds it all
    lists = TARGETS["lists of VRIC"]
    (tmp_path / "lists").mkdir()
    kept = hunt(lists, tmp_path / "lists", tries=150, seed=0).kept
    assert sum(map(len, kept.values())) > len(kept)


def test_the_same_seed_tries_the_same_inputs(tmp_path: Path) -> None:
    seen: list[list[bytes]] = []
    for seed in (1, 1, 2):
        read: list[bytes] = []
        listening = Target(
            lambda: {"f": b"a b\nc"}, lambda folder, read=read: read.append((folder / "f").read_bytes()), ()
        )
        hunt(listening, tmp_path, tries=30, seed=seed)
        seen.append(read)
    assert seen[0] == seen[1] != seen[2]


def test_lines_are_those_that_ran_of_the_modules_asked_for() -> None:
    def call() -> None:
        number_of = Path(__file__).exists()
        if not number_of:
            raise AssertionError

    first = call.__code__.co_firstlineno
    assert lines_reached(HERE, call) == {(__file__, first + 1), (__file__, first + 2)}
    assert lines_reached((), call) == set()


def test_rows_count_what_was_lost_and_inputs_that_end_the_process_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzzer, "TARGETS", {"faulty": FAULTY, "deadly": DEADLY, "sound": TARGETS["CSV"]})
    faulty, deadly, sound = fuzz(1.5, 0, tmp_path)
    assert faulty.lost > 0 and faulty.tries == faulty.survived + faulty.lost
    assert deadly.lost > 0 and deadly.tries == deadly.survived + deadly.lost
    assert sound == Row("fuzz: sound", sound.tries, sound.tries, 0) and sound.tries > 0
    kept = {path.name: (path / "told.txt").read_text() for path in tmp_path.iterdir()}
    assert any("KeyError" in told for told in kept.values())
    assert any("the process ended with 3" in told for name, told in kept.items() if name.startswith("deadly"))
    assert not any(name.startswith("sound") for name in kept)
