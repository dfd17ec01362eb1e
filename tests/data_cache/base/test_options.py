"""Commands named as remedies: with the location that the user gave, and nothing that the command would not take."""

import ast
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli import main
from data_cache.base.options import (
    LOCATION,
    OTHER_LOCATION,
    add_options,
    command_line,
    data_root_option,
    dataset_option,
    is_given,
    remedy_command,
    runs_option,
)
from helpers.paths import ROOT

PACKAGES = ("data_cache", "detect", "reid", "vehicle_reid")


@click.command()
@add_options(dataset_option, data_root_option, runs_option)
@click.option("--images")
@click.option("--parts", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1)
@click.option("--named", multiple=True)
def shown(named: tuple[str, ...], **options: object) -> None:
    """Print remedies, and which of the paths `named` are given by another option."""
    click.echo(remedy_command("detect"))
    click.echo(remedy_command("check", {"--dataset": "x y"}))
    click.echo(remedy_command("doctor"))


@pytest.mark.usefixtures("clean_folder")
@pytest.mark.parametrize(
    ("words", "detect", "check"),
    [
        ("", "detect", "check --dataset 'x y'"),
        (
            "--dataset 'sets/a b.csv' --data-root photos --runs /r",
            "detect --dataset 'sets/a b.csv' --data-root photos --runs /r",
            "check --dataset 'x y' --data-root photos",
        ),
        ("--runs runs", "detect --runs runs", "check --dataset 'x y'"),  # given, though it is the default
        ("--images photos", "detect --images photos", "check --dataset 'x y'"),
    ],
)
def test_remedy_repeats_the_given_location(words: str, detect: str, check: str) -> None:
    result = CliRunner().invoke(shown, shlex.split(words))
    assert result.output.splitlines() == [f"`python cli.py {line}`" for line in (detect, check, "doctor")]


def test_environment_counts_as_given(clean_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASET", "veri")
    monkeypatch.setenv("VEHICLE_DATA", str(clean_folder))
    first = CliRunner().invoke(shown).output.splitlines()[0]
    assert first == f"`python cli.py detect --dataset veri --data-root {clean_folder}`"


def test_without_a_command_only_the_options_of_the_call() -> None:
    assert remedy_command("train") == "`python cli.py train`"
    assert remedy_command("train", {"--dataset": "a.csv"}) == "`python cli.py train --dataset a.csv`"
    assert not is_given(Path("parts.h5"))


def test_is_given_knows_options_and_arguments() -> None:
    @click.command()
    @click.option("--parts", type=click.Path(path_type=Path))
    @click.argument("files", nargs=-1)
    def command(parts: Path | None, files: tuple[str, ...]) -> None:
        click.echo(" ".join(name for name in ("a.h5", "b.h5", "c.h5", "d.h5") if is_given(Path(name))))

    assert CliRunner().invoke(command, ["--parts", "a.h5", "b.h5", "c.h5"]).output == "a.h5 b.h5 c.h5\n"


def test_arguments_come_after_the_options() -> None:
    assert command_line("cache merge", {"--json": True}, ["a b.h5", Path("c.h5")]) == (
        "python cli.py cache merge --json 'a b.h5' c.h5"
    )


def commands(group: click.Group = main, prefix: str = "") -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= commands(command, f"{prefix}{name} ")
        else:
            found[f"{prefix}{name}"] = command
    return found


def remedies() -> list[tuple[str, tuple[str, ...]]]:
    """Return the command and the option names of every call of `remedy_command`."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "remedy_command":
                    name = node.args[0]
                    assert isinstance(name, ast.Constant), f"{path}: the command is not a literal"
                    keys = [key for one in node.args[1:] for key in ast.walk(one) if isinstance(key, ast.Constant)]
                    options = [str(key.value) for key in keys if str(key.value).startswith("--")]
                    found.append((str(name.value), tuple(options)))
    return found


def test_every_remedy_is_a_command_with_options_that_it_has() -> None:
    known, found = commands(), remedies()
    assert len(found) > 5
    for name, options in found:
        assert name in known, name
        declared = {opt for param in known[name].params for opt in param.opts}
        assert {*options, *OTHER_LOCATION.get(name, LOCATION)} <= declared, name
        required = {param.opts[0] for param in known[name].params if param.required}
        assert required <= {*options}, f"{name} needs {required}"


@pytest.mark.parametrize("package", PACKAGES)
def test_messages_build_commands_by_the_helper_alone(package: str) -> None:
    for path in sorted((ROOT / package).rglob("*.py")):
        tree = ast.parse(path.read_text())
        documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
                assert "`python cli.py" not in node.value, f"{path}:{node.lineno}"
