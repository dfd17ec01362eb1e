"""Something else where a file belongs: a pipe, a device, a folder, a link to itself. Refused at once; no run hangs."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import pytest
from click.testing import CliRunner

from cli import main
from data_cache.base.errors import UserError
from helpers.faults.hostile import FILES
from soak.fuzz import TARGETS

PATIENCE = 20  # seconds; a pipe would be waited for without end
ABSENT_IS_FINE = {  # what a reader may do without
    "VeRi/test_track.txt", "VeRi/train_label.xml", "VeRi/list_color.txt", "VERI-Wild/vehicle_info.txt", "log.jsonl",
    *(f"VehicleID/train_test_split/test_list_{size}.txt" for size in (800, 1600)),
    *(f"VERI-Wild/train_test_split/test_{size}{query}.txt" for size in (3000, 5000) for query in ("", "_query")),
    "synthetic/synthetic.json", "last.safetensors", "state.pt",
}  # fmt: skip
PLACES: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": lambda path: path.mkdir(),
    "link to itself": lambda path: path.symlink_to(path),
    "link to nothing": lambda path: path.symlink_to(path.with_name("nowhere")),
}


class Hangs(Exception):
    """A reader that waits."""


@contextmanager
def patience() -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise Hangs

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(("name", "file"), FILES)
def test_what_is_no_regular_file_is_refused_in_one_line(name: str, file: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    for number, (place, make) in enumerate(PLACES.items()):
        folder = tmp_path / str(number)
        for other, data in target.make().items():
            (folder / other).parent.mkdir(parents=True, exist_ok=True)
            (folder / other).write_bytes(data)
        (folder / file).unlink()
        make(folder / file)
        with patience():
            try:
                target.read(folder)
            except UserError as error:
                assert "\n" not in str(error)
            else:
                assert file in ABSENT_IS_FINE and place.startswith("link"), place


COMMANDS = (
    "check --dataset {pipe}.csv", "train --recipe {pipe}.yaml", "train --set trunk_weights={pipe}.pth",
    "train --parts {pipe}.h5", "evaluate --features {pipe}.npz", "import-weights --official {pipe}.pth",
    "cache verify {pipe}.h5", "cache stats {pipe}.h5", "cache merge out.h5 {pipe}.h5",
    "cache import --coco {pipe}.json --output out.h5", "cache export {pipe}.h5 --output out.json",
    "parts train --annotations {pipe}.json", "parts train --recipe {pipe}.yaml",
    "parts check --annotations {pipe}.json", "parts convert --coco {pipe}.json --output out.json",
    "detect --weights {pipe}.safetensors",
)  # fmt: skip


@pytest.mark.usefixtures("tiny_network")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_is_given_a_pipe_ends_with_one_line(
    command: str, own_toy: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    suffix = command.partition("{pipe}")[2].split()[0]
    os.mkfifo(tmp_path / f"pipe{suffix}")
    words = command.format(pipe=tmp_path / "pipe").split()
    wide = {"train", "evaluate", "detect"} & {words[0]}
    where = ["--dataset", "folder", "--data-root", str(tmp_path / "set"), "--device", "cpu"] if wide else []
    with patience():
        result = CliRunner().invoke(main, [*words, *where])
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.output
    assert len([line for line in result.stderr.splitlines() if line.startswith("Error: ")]) == 1
    shutil.rmtree(tmp_path / "set")
