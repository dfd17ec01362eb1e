"""Something else where a file belongs: a pipe, a device, a folder, a link to itself. Refused at once; no run hangs."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import main
from data_cache.base.errors import UserError
from soak.fuzz import PATIENCE, TARGETS, target_files, time_limit

MAY_BE_MISSING = {
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


@pytest.mark.parametrize(("name", "file"), target_files())
def test_anything_but_a_regular_file_is_refused_in_one_line(name: str, file: str, tmp_path: Path) -> None:
    for place, make in PLACES.items():
        folder = tmp_path / place
        TARGETS[name].write(folder)
        (folder / file).unlink()
        make(folder / file)
        with time_limit(PATIENCE):
            try:
                TARGETS[name].read(folder)
            except UserError as error:
                assert "\n" not in str(error)
            else:
                assert file in MAY_BE_MISSING and place.startswith("link"), place


COMMANDS = (
    "check --dataset {pipe}.csv", "train --recipe {pipe}.yaml", "train --set trunk_weights={pipe}.pth",
    "train --parts {pipe}.h5", "evaluate --features {pipe}.npz", "import-weights --official {pipe}.pth",
    "cache verify {pipe}.h5", "cache stats {pipe}.h5", "cache merge out.h5 {pipe}.h5",
    "cache import --coco {pipe}.json --output out.h5", "cache export {pipe}.h5 --output out.json",
    "parts train --annotations {pipe}.json", "parts train --recipe {pipe}.yaml",
    "parts check --annotations {pipe}.json", "parts convert --coco {pipe}.json --output out.json",
    "detect --detector {pipe}.safetensors",
)  # fmt: skip


@pytest.mark.usefixtures("tiny_network")
@pytest.mark.parametrize("command", COMMANDS)
def test_command_given_a_pipe_ends_with_one_line(
    command: str, own_toy: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    suffix = command.partition("{pipe}")[2].split()[0]
    os.mkfifo(tmp_path / f"pipe{suffix}")
    words = command.format(pipe=tmp_path / "pipe").split()
    on_data = {"train", "evaluate", "detect"} & {words[0]}
    where = ["--dataset", "folder", "--data-root", str(tmp_path / "set"), "--device", "cpu"] if on_data else []
    with time_limit(PATIENCE):
        result = CliRunner().invoke(main, [*words, *where])
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.output
    assert len([line for line in result.stderr.splitlines() if line.startswith("Error: ")]) == 1
