"""A toy data set and a folder for runs, with the commands of stage two on them as typed; for the tests of commands."""

from pathlib import Path

from click.testing import CliRunner, Result

from cli import main
from data_cache.parts.cache import write_parts
from helpers.toy.vehicles import TINY_OPTIONS, Toy

ONE_EPOCH = [*TINY_OPTIONS, "--set", "epochs=1"]


class Place:
    """A data set with its part cache below a folder for runs, and the commands on them."""

    def __init__(self, toy: Toy, runs: Path) -> None:
        self.toy, self.runs = toy, runs
        write_parts(runs / "folder" / "parts.h5", toy.parts)

    def __call__(self, command: str, *options: str) -> Result:
        where = ["--dataset", "folder", "--data-root", str(self.toy.dataset.root), "--runs", str(self.runs)]
        result = CliRunner().invoke(main, [command, *where, "--device", "cpu", "--workers", "0", *options])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def train(self, *options: str) -> Path:
        result = self("train", *ONE_EPOCH, *options)
        assert result.exit_code == 0, result.output
        return Path(result.stdout.strip())


def assert_error(result: Result, code: int, *words: str) -> None:
    """One line on standard error that begins with Error and holds the words; nothing on standard output."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    said = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(said) == 1 and result.stderr.rstrip().endswith(said[0]) and "Traceback" not in result.stderr
    for word in words:
        assert word in said[0]
