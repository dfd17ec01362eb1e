"""The chain killed a few times; and that the soak sees each fault that a toy has, and none in a sound one."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from helpers.faults import crash as toy_crash
from helpers.faults.crash import toy_chain
from soak import kills
from soak.chain import PRODUCT, contents, differences, unfinished
from soak.crash import crash
from soak.kills import WORKER, random_kills
from soak.rows import Row

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
Program = Callable[[Sequence[str]], None]


def tries(rows: Sequence[Row]) -> int:
    return sum(row.tries for row in rows)


def lost(rows: Sequence[Row]) -> set[str]:
    return {row.fault for row in rows if row.lost}


def told(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.glob("*/told.txt"))


def test_the_chain_killed_at_a_few_moments_ends_with_the_same_bytes(tmp_path: Path) -> None:
    rows = crash(3, 0, findings=tmp_path, chain=replace(PRODUCT, with_workers=()))
    assert tries(rows) == 3 and not lost(rows), told(tmp_path)


def test_a_sound_program_survives_every_kill(tmp_path: Path) -> None:
    rows = crash(4, 0, findings=tmp_path, chain=toy_chain(toy_crash.careful, workers=True))
    assert [row.fault for row in rows] == [f"crash: {kind} in write" for kind in ("SIGKILL", "SIGTERM", WORKER)]
    assert tries(rows) == sum(row.survived for row in rows) == 5, told(tmp_path)


@pytest.mark.parametrize(
    ("program", "fault"),
    [
        (toy_crash.stuck, "undisturbed, it ended with 1"),
        (toy_crash.loses, "file differs"),
        (toy_crash.untidy, ".tmp was left behind"),
        (toy_crash.outside, "the temporary tmp"),
        (toy_crash.orphans, "1 processes outlive it"),
        (toy_crash.loud, "it said more than one line"),
        (toy_crash.locked, ".lock was left behind"),
        (toy_crash.deaf, "it hangs"),
        (toy_crash.lying, "file differs"),
    ],
)
def test_a_fault_is_seen(program: Program, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kills, "HANGS", 4.0)
    monkeypatch.setattr(kills, "LINGERS", 1.0)
    for seed in range(20):  # a kill may come before there is anything to lose
        rows = crash(2, seed, findings=tmp_path, chain=toy_chain(program))
        assert tries(rows) == 2
        if fault in told(tmp_path):
            break
    assert lost(rows) and fault in told(tmp_path)


def test_a_run_that_waits_for_a_killed_worker_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kills, "HANGS", 4.0)
    rows = crash(0, 0, findings=tmp_path, chain=toy_chain(toy_crash.careless, workers=True))
    assert rows == [Row(f"crash: {WORKER} in write", 1, 0, 1)] and "it hangs" in told(tmp_path)


def test_a_chain_that_fails_by_itself_is_no_fault_of_a_kill() -> None:
    with pytest.raises(RuntimeError, match=r"write: it makes nothing"):
        crash(1, 0, chain=toy_chain(toy_crash.idle))
    with pytest.raises(RuntimeError, match=r"write: undisturbed, it ended with 1: .*UnicodeError: of its own"):
        crash(1, 0, chain=toy_chain(toy_crash.failing))


def test_no_chain_is_begun_after_its_time() -> None:
    assert crash(5, 0, seconds=0, chain=toy_chain(toy_crash.sound)) == []


def test_kills_fall_into_every_command_by_the_time_that_it_takes() -> None:
    drawn = random_kills({"short": 1.0, "long": 9.0}, 1000, Random(0))
    assert len(drawn) == 1000 and sum(kill.kind == "SIGKILL" for kill in drawn) == 500
    assert {kill.kind for kill in drawn} == {"SIGKILL", "SIGTERM"}
    assert 50 < sum(kill.step == "short" for kill in drawn) < 200
    assert all(0 <= kill.after < {"short": 1.0, "long": 9.0}[kill.step] for kill in drawn)
    assert 300 < sum(kill.group for kill in drawn) < 700


def test_what_lies_in_a_folder_is_compared_but_for_times(tmp_path: Path) -> None:
    (tmp_path / "run" / "empty").mkdir(parents=True)
    (tmp_path / "run" / "weights").write_bytes(b"abc")
    metrics = {"mAP": 0.5, "made": "2020", "commit": "a"}
    lines = [{"epoch": 1, "loss": 2.0, "images_per_second": 7.0}, {"epoch": 1, "ap": 0.1}]
    put(tmp_path, metrics, lines)
    wanted = contents(tmp_path)
    put(tmp_path, metrics | {"made": "2021", "commit": "b"}, [{"epoch": 1, "loss": 9.0}, *lines[:1], lines[1]])
    assert [*differences(wanted, contents(tmp_path))] == []
    (tmp_path / "run" / "metrics.json").write_text("{")
    assert [*differences(wanted, contents(tmp_path))] == ["run/metrics.json differs"]
    put(tmp_path, metrics | {"mAP": 0.25}, [lines[0] | {"loss": 2.5}, lines[1]])
    (tmp_path / "run" / "weights").write_bytes(b"abd")
    (tmp_path / "run" / "empty").rmdir()
    (tmp_path / "run" / ".lock").touch()
    assert [*differences(wanted, contents(tmp_path))] == [
        "run/.lock was left behind",
        "run/empty is missing",
        "run/log.jsonl differs",
        "run/metrics.json differs",
        "run/weights differs",
    ]
    assert [path for path, _ in unfinished(tmp_path)] == ["run/.lock"]


def put(folder: Path, metrics: dict[str, Any], lines: Sequence[dict[str, Any]]) -> None:
    (folder / "run" / "metrics.json").write_text(json.dumps(metrics))
    (folder / "run" / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
