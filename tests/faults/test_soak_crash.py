"""The chain killed a few times; and the harness finds the faults of toy programs, and none in a sound one."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.faults import programs
from helpers.faults.programs import chain_of
from soak import crash as harness
from soak.chain import PRODUCT
from soak.crash import KINDS, crash

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads processes from /proc")


def report(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.glob("*/report.txt"))


def test_a_chain_killed_a_few_times_ends_with_the_same_bytes(tmp_path: Path) -> None:
    rows = crash(3, 0, findings=tmp_path, chain=replace(PRODUCT, with_workers=()))
    assert sum(row.tries for row in rows) == 3 and not any(row.lost for row in rows), report(tmp_path)


def test_a_sound_program_survives_every_kind_of_kill(tmp_path: Path) -> None:
    rows = crash(4, 0, findings=tmp_path, chain=chain_of(programs.sound, workers=True))
    assert [row.fault for row in rows] == [f"crash: {kind} in write" for kind in KINDS]
    assert sum(row.tries for row in rows) == 5 and not any(row.lost for row in rows), report(tmp_path)


@pytest.mark.parametrize(
    ("program", "finding"),
    [
        (programs.cannot_resume, "undisturbed, it ended with 1"),
        (programs.loses_work, "file differs"),
        (programs.leaves_files, ".tmp was left behind"),
        (programs.leaves_a_process, "1 processes outlive it"),
        (programs.ignores_sigterm, "it hangs"),
    ],
)
def test_a_faulty_program_is_found(
    program: Callable[[Sequence[str]], None], finding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "HANGS", 4.0)
    monkeypatch.setattr(harness, "LINGERS", 1.0)
    for seed in range(20):  # a kill may come before there is anything to lose
        if any(row.lost for row in crash(2, seed, findings=tmp_path, chain=chain_of(program))):
            if finding in report(tmp_path):
                return
    pytest.fail(report(tmp_path))
