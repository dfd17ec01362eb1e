"""Help, errors and messages show the program as the user started it, and help lists every command by stage."""

import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli import STAGES, main
from data_cache.base.errors import UserError, program_name, with_program_name
from data_cache.base.options import command_line
from data_cache.base.progress import show_messages

STARTED = [
    (["cli.py"], "python cli.py"),
    (["../main/cli.py", "train"], "python ../main/cli.py"),
    (["/my code/cli.py"], "python '/my code/cli.py'"),
    (["/home/me/.venv/bin/pgan", "train"], "pgan"),
    (["search.py"], "pgan"),  # the Python API in a program of the user's
    ([""], "pgan"),  # an interactive Python
]


def all_commands(group: click.Group = main, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command and group."""
    for name, command in group.commands.items():
        yield (*words, name)
        if isinstance(command, click.Group):
            yield from all_commands(command, (*words, name))


def show(*words: str) -> str:
    """Return the output of the program, run under the name that it finds out itself."""
    with CliRunner().isolation() as (stdout, stderr, _):
        with pytest.raises(SystemExit):
            main.main(list(words))
        return (stdout.getvalue() + stderr.getvalue()).decode()


@pytest.mark.parametrize(("arguments", "name"), STARTED)
def test_the_name_is_that_of_the_start(arguments: list[str], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", arguments)
    assert program_name() == name
    assert (
        str(UserError("x.h5: damaged; run `python cli.py detect` again")) == f"x.h5: damaged; run `{name} detect` again"
    )
    assert command_line("cache stats", {"--first": "varying"}) == f"{name} cache stats --first varying"
    assert f"Usage: {name} [OPTIONS] COMMAND" in show("--help")
    assert f"Usage: {name} parts train [OPTIONS]" in show("parts", "train", "--help")
    assert f"Try '{name} cache verify --help' for help." in show("cache", "verify", "--nothing")


def test_torchrun_starts_a_script_or_the_installed_program(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "torchrun --nproc-per-node 4 cli.py train --dataset veri"
    assert with_program_name(text) == text
    monkeypatch.setattr(sys, "argv", ["/a/cli.py"])
    assert with_program_name(text) == text.replace("cli.py", "/a/cli.py")
    monkeypatch.setattr(sys, "argv", ["pgan"])
    assert with_program_name(text) == "torchrun --no-python --nproc-per-node 4 pgan train --dataset veri"


def test_files_of_the_user_keep_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pgan"])
    for text in ("tools/cli.py: not an image", "cli.py is no data set", "`other/cli.py` has no boxes"):
        assert str(UserError(text)) == text


def test_messages_are_shown_with_the_name(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["pgan"])
    show_messages()
    logging.getLogger("reid").info("no part cache; run `python cli.py detect --dataset veri`")
    assert capsys.readouterr().err == "no part cache; run `pgan detect --dataset veri`\n"


@pytest.mark.parametrize("words", [(), *all_commands()], ids=lambda words: " ".join(words) or "pgan")
def test_help_of_the_installed_program_never_names_the_script(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [str(Path(sys.prefix, "bin", "pgan"))])
    text = show(*words, "--help")
    assert "Usage: pgan" in text and "cli.py" not in text


def test_help_lists_each_command_once_in_a_whole_sentence() -> None:
    listed = [command for commands in STAGES.values() for command in commands]
    assert sorted(str(command.name) for command in listed) == sorted(main.commands)
    text = show("--help")
    assert [line.removesuffix(":") for line in text.splitlines() if re.match(r"\w.*:$", line)] == ["Options", *STAGES]
    assert "..." not in text.replace("[ARGS]...", "")
    letters = "".join(text.split())
    for command in listed:
        first = "".join(str(command.help).partition(".")[0].split())
        assert f"{command.name}{first}." in letters


@pytest.mark.parametrize("group", ["parts", "cache", "gallery"])
def test_help_of_a_group_cuts_no_sentence(group: str) -> None:
    assert "..." not in show(group, "--help").replace("[ARGS]...", "")
