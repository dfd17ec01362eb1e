"""Commands of stage two on a toy data set and a runs folder, for the tests of commands."""

from pathlib import Path

from click.testing import CliRunner, Result

from cli import main
from data_cache.parts.cache import write_parts
from helpers.toy.vehicles import TINY_OPTIONS, Toy
from reid.runs import parts_path

ONE_EPOCH = [*TINY_OPTIONS, "--set", "epochs=1"]


class Place:
    """A toy data set and a runs folder with its part cache; a call runs a command on them."""

    def __init__(self, toy: Toy, runs: Path) -> None:
        self.toy, self.runs = toy, runs
        write_parts(parts_path(runs, toy.dataset.name), toy.parts)

    def __call__(self, command: str, *options: str) -> Result:
        shared = ["--dataset", "folder", "--data-root", str(self.toy.dataset.root), "--runs", str(self.runs)]
        result = CliRunner().invoke(main, [command, *shared, "--device", "cpu", "--workers", "0", *options])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def train(self, *options: str) -> Path:
        result = self("train", *ONE_EPOCH, *options)
        assert result.exit_code == 0, result.output
        return Path(result.stdout.strip())


def assert_error(result: Result, code: int, *words: str) -> None:
    """Assert that the command printed one error line, with these words, at the end of standard error, and no output."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and result.stderr.rstrip().endswith(errors[0]) and "Traceback" not in result.stderr
    for word in words:
        assert word in errors[0]
