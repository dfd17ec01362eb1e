"""The commands on a report make the same report again: a test runs them."""

import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import main
from data_cache.base.files import read_json
from helpers.places.reid import ONE_EPOCH
from helpers.toy.vehicles import toy_set
from reid.report.evaluated_run import read_evaluated_run
from reid.report.run_commands import reproduction_commands


def typed(*words: str) -> str:
    """Run a command, which must succeed, and return what it printed."""
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.usefixtures("tiny")
def test_the_commands_of_a_report_make_it_again(clean_folder: Path) -> None:
    dataset = toy_set(clean_folder / "photos", trained=4, tested=2).dataset
    here = ("--dataset", "folder", "--data-root", "photos")
    slow = ("--workers", "0", "--device", "cpu")
    typed("detect", *here, *slow)
    settings = [word if word != "parts=3" else "parts=5" for word in ONE_EPOCH]
    typed("train", *here, *slow, *settings, "--recipe", "pgan_small", "--seed", "3", "--name", "first")
    typed("evaluate", *slow, "--untrained")  # of the newest run: its data set and its roots
    page = Path(typed("report", "--device", "cpu", "--queries", "2", "--heatmaps", "0").strip())
    assert page == Path("runs/folder/first/test/report.html")

    run = read_evaluated_run(page.parents[1], dataset, "test", Path("runs"), None)
    commands = reproduction_commands(run, [], {"--queries": 2, "--heatmaps": 0})
    assert [shlex.split(line)[2] for line in commands] == ["detect", "train", "evaluate", "report"]
    assert all(line in page.read_text(encoding="utf-8") for line in commands)
    card = Path(typed("export", "--format", "safetensors").split()[-1]).with_name("model-card.md")
    assert all(f"    {line}\n" in card.read_text(encoding="utf-8") for line in commands[:2])
    first = Path("runs").rename("before")
    for line in commands:
        python, program, *words = shlex.split(line)
        assert (python, program) == ("python", "cli.py")
        typed(*words)
    before, after = (read_json(runs / "folder/first/test/metrics.json") for runs in (first, Path("runs")))
    for changing in ("made", "arguments"):  # the test is named now
        del before[changing], after[changing]
    assert after == before
    shutil.rmtree(first)
