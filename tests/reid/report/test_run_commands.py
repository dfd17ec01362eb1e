"""The commands on a page are those that were stored, with data set and folders; a run of the ablation has none."""

from dataclasses import replace
from pathlib import Path

import pytest

from data_cache.base.files import write_json
from data_cache.base.options import command_file
from data_cache.parts.cache import empty_cache
from helpers.toy.evaluated import make_evaluated_run, with_metrics
from reid.report.evaluated_run import EvaluatedRun
from reid.report.run_commands import reproduction_commands
from reid.runs import parts_path

LOCATION = "--dataset folder --data-root d --runs"
SHA256 = "5ha"


@pytest.fixture
def run(tmp_path: Path) -> EvaluatedRun:
    """A run named "first" whose boxes are by the detector "mine", with the commands that made all of it."""
    made = make_evaluated_run(tmp_path)
    runs = tmp_path / "runs"
    folder = runs / "folder" / "first"
    location = {"--dataset": "folder", "--data-root": "d", "--runs": str(runs)}
    commands = {
        command_file(runs / "detector" / "mine"): {"command": "parts train", "options": {"--recipe": "mine.yaml"}},
        command_file(parts_path(runs, "folder")): {
            "command": "detect",
            "options": {**location, "--detector": "mine"},
            "weights_sha256": SHA256,
        },
        command_file(folder): {"command": "train", "options": {**location, "--name": "first", "--set": ["a=1", "b=2"]}},
    }
    for path, command in commands.items():
        write_json(path, command)
    boxes = replace(made.parts, fingerprint={**made.parts.fingerprint, "weights_sha256": SHA256})
    arguments = {**location, "--untrained": True, "--ap": "trapezoid"}
    return with_metrics(replace(made, folder=folder, parts=boxes), arguments=arguments)


def test_every_step_is_named_with_its_own_options(run: EvaluatedRun, tmp_path: Path) -> None:
    location = f"{LOCATION} {tmp_path / 'runs'}"
    assert reproduction_commands(run, [replace(run, folder=run.folder.with_name("grid"))], {"--top": 5}) == [
        "python cli.py parts train --recipe mine.yaml",
        f"python cli.py detect {location} --detector mine",
        f"python cli.py train {location} --name first --set a=1 --set b=2",
        f"python cli.py evaluate --run first {location} --untrained --ap trapezoid --split test",
        f"python cli.py report {location} --run first --split test --compare grid --top 5",
    ]


def test_a_run_without_stored_arguments_has_no_commands(run: EvaluatedRun) -> None:
    metrics = {name: value for name, value in run.metrics.items() if name != "arguments"}
    assert reproduction_commands(replace(run, metrics=metrics), [], {}) == []


def test_boxes_by_another_command_and_runs_without_one_are_said_to_be_unknown(run: EvaluatedRun) -> None:
    replaced = replace(run, parts=replace(run.parts, fingerprint={"weights_sha256": "other"}))
    cache = parts_path(run.folder.parents[1], "folder")
    assert reproduction_commands(replaced, [], {})[0] == f"# {cache}: made by a command that is not known"
    command_file(run.folder).unlink()
    assert reproduction_commands(run, [], {})[2] == f"# {run.folder}: made by a command that is not known"


def test_a_run_that_reads_no_boxes_needs_no_detector(run: EvaluatedRun) -> None:
    commands = reproduction_commands(replace(run, parts=empty_cache(run.dataset.names())), [], {})
    assert [command.split()[2] for command in commands] == ["train", "evaluate", "report"]


def test_a_run_of_the_ablation_is_not_trained(run: EvaluatedRun) -> None:
    folder = run.folder.parent / "ablation" / "pgan-seed0"
    commands = reproduction_commands(replace(run, folder=folder), [], {})
    assert not any(" train " in command for command in commands[1:])
    assert "--run ablation/pgan-seed0 " in commands[-2]
