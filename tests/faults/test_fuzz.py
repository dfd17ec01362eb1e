"""A short form of `soak.fuzz` for every reader of users' files, and proof that it finds faulty readers."""

import os
from itertools import count, islice
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest

from data_cache.base.errors import UserError
from soak import fuzz as fuzzer
from soak.fuzz import TARGETS, fuzz, mutants
from soak.inputs.mutation import Target

TRIES = 40  # of each reader
pytestmark = pytest.mark.usefixtures("tiny_network")  # on one thread


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_file_is_read_or_refused_in_one_line(name: str, tmp_path: Path) -> None:
    tries = 15 if name == "checkpoint" else 50  # a checkpoint builds a network each time
    for wrong in islice(mutants(TARGETS[name], tmp_path, Random(0)), tries):
        assert wrong is None, wrong


def faulty_reader(folder: Path) -> None:
    data = (folder / "f").read_bytes()
    if data[:1] != b"a":
        raise UserError("f: does not begin\nwith a")
    if len(data) > 2:
        raise KeyError("a fault behind a condition")


def deadly_reader(folder: Path) -> None:
    if (folder / "f").read_bytes() != b"ab":
        os._exit(3)


def test_faulty_readers_are_found_and_their_inputs_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readers = {"faulty": faulty_reader, "deadly": deadly_reader}
    faulty = {name: Target(lambda: {"f": b"ab"}, reader) for name, reader in readers.items()}
    monkeypatch.setattr(fuzzer, "TARGETS", {**faulty, "sound": TARGETS["CSV"]})
    monkeypatch.setattr(fuzzer, "time", SimpleNamespace(monotonic=count().__next__))  # a try takes a second
    rows = fuzz(3 * TRIES, 0, tmp_path)
    assert [row.fault for row in rows] == ["fuzz: faulty", "fuzz: deadly", "fuzz: sound"]
    assert [0 < row.lost <= row.tries for row in rows] == [True, True, False]
    assert rows[0].tries == rows[2].tries == TRIES + 1
    reports = "".join((path / "report.txt").read_text() for path in tmp_path.iterdir())
    for words in ("refused, but not in one line", "KeyError", "the process ended with 3"):
        assert words in reports
